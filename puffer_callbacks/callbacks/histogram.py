"""Distributions of weights, gradients, activations and the rollout."""

import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Literal

from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback, guarded
from puffer_callbacks.histogram.over_ranks import histograms_over_ranks
from puffer_callbacks.measure.forward_pass.activations import activations
from puffer_callbacks.measure.forward_pass.call import first_samples
from puffer_callbacks.measure.gradients import optimized, plain_name
from puffer_callbacks.measure.parameter_names import Selection, merged_by_module
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Histogram, Value
from puffer_callbacks.values.checkpointing import pack, unpack

_ROLLOUT = ("advantages", "values", "rewards", "actions")
_SAMPLES = 256


class HistogramCallback(PufferCallback):
    """Logs histograms of weights and gradients, and of the rollout's advantages, values, rewards and actions.

    Gradients are taken as the optimizer is about to see them: after accumulation and unscaling, before the clip.

    Args:
        every_n_steps: the interval, in optimizer steps.
        weights: whether to log ``weights/<parameter>``.
        gradients: whether to log ``gradients/<parameter>``.
        activations: whether to log ``activations/<layer>``, by a forward pass of the first training batch that leaves
            nothing behind.
        include: patterns of the parameters and layers to log, such as ``"*.weight"``; all where ``None``.
        exclude: patterns of those to leave out.
        group_by: ``"module"`` for one histogram for each module, where a model has very many parameters.

    Raises:
        TypeError: if a pattern is no string.
        ValueError: if the interval is below 1, or ``group_by`` is another word.

    Example:
        >>> HistogramCallback(every_n_steps=500, gradients=False, exclude="*.bias").every_n_steps
        500
    """

    expensive = True
    meets = True
    looks_ahead: int | None = 1

    def __init__(
        self,
        every_n_steps: int = 1000,
        *,
        weights: bool = True,
        gradients: bool = True,
        activations: bool = False,
        include: str | Iterable[str] | None = None,
        exclude: str | Iterable[str] = (),
        group_by: Literal["module"] | None = None,
    ) -> None:
        if group_by not in (None, "module"):
            raise ValueError(f"group_by: expected 'module' or None, got {group_by!r}")
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self.weights = weights
        self.gradients = gradients
        self.activations = activations
        self.group_by = group_by
        self._selection = Selection(include, exclude)
        self._rollout: Rollout | None = None
        self._rollout_at: int | None = None
        self._owes = False
        self._resumed: dict[str, Value] = {}
        self._gradients: dict[str, Histogram] = {}
        self._probe: Any = None
        if activations:
            self.looks_ahead = None  # the first batch is wanted too

    @guarded
    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Warn about patterns that match nothing."""
        names = [plain_name(name) for name, _ in (*pl_module.named_parameters(), *pl_module.named_modules())]
        for pattern in self._selection.idle(names):
            reason = f"the pattern {pattern!r} matches no parameter; expected one such as {names[:3]}"
            Recorder.of(trainer).faults.report(f"HistogramCallback({pattern!r})", reason)

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Remember the rollout where the next firing is near: its memory is wanted for the rollouts that follow."""
        recorder = Recorder.of(trainer)
        before, self._rollout_at = self._rollout_at, recorder.counters.optimizer_steps
        steps_between = sys.maxsize if before is None else self._rollout_at - before
        is_near = self._every.next <= self._rollout_at + 2 * steps_between
        self._rollout, self._resumed = rollout if is_near or self._owes else None, {}
        if self._owes:  # more steps were made of the last rollout than of those before
            self._owes = False
            recorder.record(self._of_rollout())

    @guarded
    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure the gradients where this step will cross the interval."""
        if self.gradients and self._every.is_due(Recorder.of(trainer).counters.optimizer_steps + 1):
            parameters = optimized(pl_module, optimizer).items()
            named = {f"gradients/{name}": p.grad for name, p in parameters if self._chosen(name, p.grad)}
            self._gradients |= self._histograms({name: grad for name, grad in named.items() if grad is not None})

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Log them, the weights and the rollout where this step crossed the interval."""
        recorder = Recorder.of(trainer)
        if self.activations and self._probe is None:
            self._probe = first_samples(recorder.batch, pl_module, count=_SAMPLES)
        if not self._every.fires(recorder.counters.optimizer_steps):
            return
        gradients, self._gradients = self._gradients, {}
        found = self._histograms(self._model_tensors(pl_module)) | gradients
        self._owes = self._rollout is None and self._rollout_at is not None
        recorder.record({**found, **self._of_rollout()})

    def state_dict(self) -> dict[str, Any]:
        """Where the interval stands, and the histograms of the rollout that its end may show."""
        state: dict[str, Any] = {"last": self._every.last, "rollout": {}}
        with suppress(Exception):  # the next firing tells of it; a checkpoint is worth more
            state["rollout"] = {tag: pack(histogram) for tag, histogram in self._of_rollout().items()}
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval."""
        self._every.restart(state_dict["last"])
        self._resumed = {tag: unpack(packed) for tag, packed in state_dict.get("rollout", {}).items()}

    def _chosen(self, name: str, tensor: Tensor | None) -> bool:
        return tensor is not None and name in self._selection

    def _histograms(self, tensors: dict[str, Tensor]) -> dict[str, Histogram]:
        sharded = any(hasattr(tensor, "placements") for tensor in tensors.values())  # then on every rank alike
        found = histograms_over_ranks(tensors, replicated=True) if sharded else Histogram.of_all(tensors)
        return merged_by_module(found) if self.group_by else found

    def _model_tensors(self, module: Any) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        if self.weights:
            named = ((plain_name(name), p.detach()) for name, p in module.named_parameters())
            tensors = {f"weights/{name}": weight for name, weight in named if name in self._selection}
        if self.activations:
            layers = activations(module, self._probe).items()
            tensors |= {f"activations/{name}": out for name, out in layers if name in self._selection}
        return tensors

    def _of_rollout(self) -> Mapping[str, Value]:
        """Of the last rollout; after a resume, before the next one, of the last one before the checkpoint."""
        if self._rollout is None:
            return self._resumed
        fields = {name: getattr(self._rollout, name, None) for name in _ROLLOUT}
        return Histogram.of_all({f"rollout/{name}": value for name, value in fields.items() if value is not None})
