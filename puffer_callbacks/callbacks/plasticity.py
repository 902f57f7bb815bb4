"""``PlasticityCallback``: dormant units, rank and norm of the features, layer by layer."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.measure.forward_pass.batches import even_samples, first_samples
from puffer_callbacks.measure.forward_pass.isolation import isolated
from puffer_callbacks.measure.layer_plasticity import layer_plasticity, weight_norms
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every, check_counts


class PlasticityCallback(PufferCallback):
    """Logs the plasticity of each layer, by a forward pass over observations of the latest rollout.

    ``plasticity/dormant_ratio/<layer>`` (Sokar et al. 2023, arXiv:2302.12902), ``plasticity/effective_rank/<layer>``
    (Kumar et al. 2021, arXiv:2010.14498), ``plasticity/feature_norm/<layer>`` (Moalla et al. 2024, arXiv:2405.00662)
    and, where the output is bounded as tanh's, ``plasticity/saturated_ratio/<layer>``, for each activation layer; and
    ``plasticity/weight_norm/<module>``. The same names without a layer are the mean over layers, and the norm of all
    weights.

    It measures at the first rollout, and at the first one after each interval. Where rollouts have no observations, or
    none that the policy takes, the first training batch is the probe. The pass leaves no trace: no hook, gradient,
    random number, buffer or mode is different after it. With several ranks the policy is not evaluated.

    Args:
        every_n_steps: the interval, in optimizer steps.
        num_samples: the most observations of a rollout that are used.

    Raises:
        ValueError: if a number is below 1.

    Example:
        >>> PlasticityCallback(every_n_steps=500).every_n_steps
        500
    """

    expensive = True

    def __init__(self, every_n_steps: int = 1000, *, num_samples: int = 512) -> None:
        check_counts(num_samples=num_samples)
        self._every = Every(every_n_steps)
        self.every_n_steps, self.num_samples = every_n_steps, num_samples
        PlasticityCallback.reset(self, None)  # not that of a subclass, which may read the trainer

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._probe: Any = None
        self._saw_rollout = self._measured = self._failed = False
        self._refused: ValueError | None = None

    @property
    def next_step(self) -> int:
        """The optimizer step at which the interval ends; with observations rollouts are measured as they end."""
        return sys.maxsize if self._saw_rollout else self._every.next

    @guarded
    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Keep the first batch, in case no observations come."""
        if self._probe is None and not self._saw_rollout:
            self._probe = first_samples(batch, pl_module, count=self.num_samples)

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Measure at the first rollout, and at the first one after each interval."""
        if self._refused is not None or not isinstance(rollout.observations, Tensor | Mapping | tuple):
            return
        is_first, self._saw_rollout = not self._saw_rollout, True
        is_due = self._every.fires(Recorder.of(trainer).counters.optimizer_steps)
        if is_first or is_due:
            observations = even_samples(rollout.observations, count=self.num_samples)
            arguments = [] if isinstance(observations, Tensor) else [observations]
            try:
                self._record(trainer, pl_module, (observations,), *arguments)
                self._probe = None
            except ValueError as error:  # a policy that takes something else: the batch may be that
                self._refused, self._saw_rollout, self._failed = error, False, False

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Measure with the first batch at the end of each interval, where rollouts have no observations."""
        if not self._saw_rollout and self._every.fires(Recorder.of(trainer).counters.optimizer_steps):
            self._record(trainer, pl_module, *([] if self._probe is None else [self._probe]))

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Report why no layer was measured, unless that was reported already."""
        if self._refused is not None and not (self._measured or self._failed):
            raise self._refused

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """Whether rollouts have observations, why the policy refused them, and where the interval stands."""
        refused = None if self._refused is None else str(self._refused)
        return super().state_dict() | {"saw_rollout": self._saw_rollout, "refused": refused}

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state_dict)
        self._saw_rollout, refused = state_dict["saw_rollout"], state_dict.get("refused")
        self._refused = None if refused is None else ValueError(refused)

    def _record(self, trainer: Any, module: Any, *probes: Any) -> None:
        recorder = Recorder.of(trainer)
        recorder.record(weight_norms(module))
        if self._failed or trainer.world_size > 1 or not (probes or self._refused):
            return
        self._failed = True  # a model that fails once is not asked again
        with isolated(module):
            found = self._layers(module, probes)
        recorder.record(found)
        self._failed, self._measured = False, True

    def _layers(self, module: Any, probes: Sequence[Any]) -> dict[str, float]:
        """The layers by the first probe that the policy takes."""
        refusal = self._refused
        for probe in probes:
            try:
                return layer_plasticity(module, probe)
            except ValueError as error:
                refusal = refusal or error
        raise refusal or ValueError("expected a probe, got none")
