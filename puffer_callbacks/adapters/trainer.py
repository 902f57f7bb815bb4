"""``TrainerAdapter``: the trainer that callbacks see where Lightning's ``Trainer`` does not drive the run."""

import sys
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from puffer_callbacks.adapters import open_fits
from puffer_callbacks.adapters.env_step_count import EnvStepCount
from puffer_callbacks.adapters.hook_calls import callback_states, full_precision, load_callback_states, optimizer_hooks
from puffer_callbacks.adapters.module_view import as_lightning_module
from puffer_callbacks.adapters.optimizers import OptimizerWatch
from puffer_callbacks.adapters.trainer_attributes import TrainerAttributes
from puffer_callbacks.callbacks.module_api import emit
from puffer_callbacks.callbacks.rollout import RolloutCallback
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import Scalar, to_floats


class TrainerAdapter(TrainerAttributes):
    """Stands for a trainer: callbacks read its attributes, and it calls their hooks in Lightning's order.

    Its arguments, and what they raise, are those of ``TrainerAttributes``.
    """

    def __init__(self, loggers: Any = (), callbacks: Any = None, *, log_dir: str | PathLike[str] | None = None) -> None:
        super().__init__(loggers, callbacks, log_dir=log_dir)
        self.optimizers: list[Optimizer] = []
        self.hparams: Mapping[str, Any] = {}
        self.lightning_module: Any = None
        self.current_epoch = self._steps_before = 0
        self._module: Any = None
        self.env_step_count = EnvStepCount()
        self._watch: OptimizerWatch | None = None
        self._recorder: Any = None
        self._has_no_callbacks = False
        self._loaded: dict[str, Any] = {}
        self._saw_batch = self._rollouts_have_targets = False
        self._ended_at: int | None = None
        """Environment steps where the last fit ended."""

    @property
    def is_open(self) -> bool:
        """Whether a fit has begun and not ended."""
        return self._watch is not None

    @property
    def global_step(self) -> int:
        """Optimizer steps so far, those before a model was first recorded included."""
        return max(Recorder.of(self).counters.optimizer_steps, self._steps_before)

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far, where the loop or its module counts them."""
        return self.env_step_count()

    def begin(
        self,
        module: nn.Module,
        hparams: Mapping[str, Any],
        optimizers: list[Optimizer],
        *,
        find: bool,
        env_steps: Callable[[], int] | None = None,
        global_step: int = 0,
    ) -> None:
        """Begin a fit: the next part of the run, or a new run where environment steps begin anew.

        Args:
            module: the module in training.
            hparams: the configuration.
            optimizers: those of the module.
            find: whether to find optimizers that are not among them, at their first step.
            env_steps: returns the environment steps so far.
            global_step: optimizer steps of a model that was trained before without a checkpoint of ours.
        """
        open_fits.end_earlier(module, self)
        self.hparams, self.optimizers = hparams, list(optimizers)
        self.env_step_count = EnvStepCount(module, env_steps)
        self._steps_before, self.should_stop = global_step, False
        self._module, self.lightning_module, self._saw_batch = module, as_lightning_module(module, self), False
        self._recorder = Recorder.of(self)  # joins the callbacks where there is none yet
        if self._begins_anew():
            self._recorder.begin_run(None)
        self._watch = OptimizerWatch(module, found=self._add_optimizer, step_end=lambda: self.step_end({}))
        self.call_hook("setup", "fit")
        loaded, self._loaded = self._loaded, {}
        load_callback_states(self.callbacks, loaded)
        self._rollouts_have_targets = loaded.get("rollouts_have_fit", False)
        self.call_hook("on_fit_start")
        self.call_hook("on_train_start")
        self._has_no_callbacks = self.callbacks == [self._recorder]
        hooks = None if self._has_no_callbacks else optimizer_hooks(self)
        self._watch.open(self.optimizers, hooks, find=find)
        open_fits.add(self)

    def step_end(self, metrics: object, batch: Any = None) -> None:
        """A training step is over: call ``on_step`` of every callback."""
        if batch is not None and not self._saw_batch:
            self.first_batch(batch)
        if self._has_no_callbacks:  # there is work only where a user's ``log`` has opened a row
            row_log = self._recorder.run.row_log
            if row_log is None or row_log.open_at == sys.maxsize:
                return
        if self._watch is not None:
            self._watch.step_reported()
        with full_precision():
            self._recorder.on_train_batch_end(self, self.lightning_module, metrics, batch, 0)

    def update_end(self, metrics: Mapping[str, Scalar]) -> None:
        """A library's own update is over, of which these are the metrics."""
        metrics = dict(metrics)
        variance = metrics.pop("explained_variance", None)  # as a metric it would be the mean over an interval
        if variance is not None and not self._logs_explained_variance():
            Recorder.of(self).record(to_floats({"diagnostics/explained_variance": variance}))
        self.step_end(metrics)

    def see_rollout(self, rollout: Rollout) -> None:
        """Read a rollout before the callbacks are given it: its steps, and its observations as the first batch."""
        Recorder.of(self).counters.see_rollout(rollout)
        self._rollouts_have_targets = rollout.values is not None and rollout.returns is not None
        observations = rollout.observations
        if isinstance(observations, Tensor) and observations.numel():  # the first batch, unless one came already
            self.first_batch({"observations": observations[0]})

    def first_batch(self, batch: Any) -> None:
        """Call ``on_train_batch_start`` with the first batch, for callbacks that probe the module with it."""
        if batch is not None and not self._saw_batch and self._watch is not None:
            self._saw_batch = True
            self.call_hook("on_train_batch_start", batch, 0)

    def call_hook(self, hook: str, *args: Any) -> None:
        """Call a hook of every callback."""
        with full_precision():
            emit(self, hook, *args)

    def state_dict(self, *, over_ranks: bool = False) -> dict[str, Any]:
        """For a checkpoint: counters, intervals, open means. All that was logged so far is flushed.

        Args:
            over_ranks: whether rank 0 gets what all ranks have, for all to continue from; all call it together then.
        """
        if self._loaded:  # it waits for the start
            return dict(self._loaded)
        states = callback_states(self.callbacks)
        self.call_hook("on_save_checkpoint", {"callbacks": states} if over_ranks else {})
        return {**states, "rollouts_have_fit": self._rollouts_have_targets}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint; before ``fit_start``.

        Raises:
            RuntimeError: if a fit is open already.
        """
        if self.is_open:
            raise RuntimeError("load_state_dict: expected to come before fit_start, got a fit that is open")
        self._loaded = dict(state)

    def end(self) -> None:
        """End the fit, if one is open."""
        if self._detach():
            try:
                self.call_hook("on_train_end")
                self.call_hook("on_fit_end")
                self.call_hook("teardown", "fit")
            finally:
                self._finalize("success")

    def fail(self, error: BaseException) -> None:
        """End the fit, if one is open, because of this error; ``sys.exit(0)`` and a generator's close are none."""
        if isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
            self.end()
        elif self._detach():
            try:
                self.call_hook("on_exception", error)
            finally:
                self._finalize("failed")

    def trains(self, module: nn.Module) -> bool:
        """Whether the fit is of this module, or of another with the same parameters."""
        return module is self._module or [*map(id, module.parameters())] == [*map(id, self._module.parameters())] != []

    def _logs_explained_variance(self) -> bool:
        """Whether a callback computes the explained variance from the rollouts."""
        return self._rollouts_have_targets and any(isinstance(each, RolloutCallback) for each in self.callbacks)

    def _begins_anew(self) -> bool:
        """Whether environment steps are fewer than where the last fit ended, without a checkpoint that continues it."""
        with self._recorder.guard("Loop"):
            return self._ended_at is not None and not self._loaded and (self.env_steps or 0) < self._ended_at
        return False

    def _detach(self) -> bool:
        """Remove every hook; returns whether a fit was open."""
        watch, self._watch = self._watch, None
        if watch is None:
            return False
        open_fits.remove(self)
        if watch.has_unreported_step:
            self.step_end({})
        watch.close()
        return True

    def _finalize(self, status: str) -> None:
        Recorder.of(self).end()  # it has ended already, unless a callback before it raised
        with Recorder.of(self).guard("Loop"):
            self._ended_at = self.env_steps
        self._module, self.lightning_module, self.optimizers = None, None, []
        self.env_step_count = EnvStepCount()
        self.finalize_loggers(status)

    def _add_optimizer(self, optimizer: Optimizer, in_mid_step: bool) -> None:
        self.optimizers.append(optimizer)
        counters = Recorder.of(self).counters
        counters.add(optimizer, steps=max(0, counters.optimizer_steps - in_mid_step))
