"""The trainer that callbacks see where Lightning's ``Trainer`` does not drive the run."""

import atexit
import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any

from torch.optim import Optimizer

from puffer_callbacks.adapters.hook_calls import full_precision, overriding
from puffer_callbacks.adapters.module_view import as_lightning_module, unwrap
from puffer_callbacks.adapters.optimizers import OptimizerWatch
from puffer_callbacks.adapters.trainer_attributes import TrainerAttributes
from puffer_callbacks.callbacks.module_api import emit
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.values.scalars import Scalar, to_floats


class TrainerAdapter(TrainerAttributes):
    """Stands for a trainer: callbacks read its attributes, and it calls their hooks in Lightning's order.

    Args:
        loggers: Lightning loggers, one or several, or ``None``.
        callbacks: callbacks, one or several, or ``None``.

    Raises:
        TypeError: if a callback is none.
    """

    def __init__(self, loggers: Any = (), callbacks: Any = ()) -> None:
        super().__init__(loggers, callbacks)
        self.optimizers: list[Optimizer] = []
        self.hparams: Mapping[str, Any] = {}
        self.lightning_module: Any = None
        self.current_epoch = 0
        self._module: Any = None
        self._count_env_steps: Callable[[], int] | None = None
        self._watch: OptimizerWatch | None = None
        self._loaded: dict[str, Any] = {}
        self._saw_batch = False
        self._last_env_steps = 0

    @property
    def is_open(self) -> bool:
        """Whether a fit has begun and not ended."""
        return self._watch is not None

    @property
    def global_step(self) -> int:
        """Optimizer steps so far."""
        return Recorder.of(self).counters.optimizer_steps

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far, where the loop or its module counts them."""
        if self._count_env_steps is not None:
            return int(self._count_env_steps())
        return getattr(self._module, "env_steps", None)

    def begin(
        self,
        module: Any,
        hparams: Mapping[str, Any],
        optimizers: list[Optimizer],
        *,
        find: bool,
        env_steps: Callable[[], int] | None = None,
    ) -> None:
        """Set up the callbacks and begin the fit; one that is still open is ended first.

        Args:
            module: the module in training.
            hparams: the configuration.
            optimizers: those of the module.
            find: whether to find optimizers that are not among them, at their first step.
            env_steps: returns the environment steps so far.
        """
        plain = unwrap(module)
        self.end()
        self.hparams, self.optimizers, self._count_env_steps = hparams, list(optimizers), env_steps
        self._module, self.lightning_module, self._saw_batch = plain, as_lightning_module(plain, self), False
        Recorder.of(self)  # joins the callbacks where there is none yet
        self._watch = OptimizerWatch(plain, found=self._add_optimizer, step_end=self._unreported_step)
        self.call_hook("setup", "fit")
        self._warn_of_second_run()
        self._restore()
        self.call_hook("on_fit_start")
        self.call_hook("on_train_start")
        self._watch_optimizers(self._watch, find=find)
        atexit.register(self._at_exit)  # runs before that of a backend that was opened earlier

    def step_end(self, metrics: object, batch: Any = None) -> None:
        """A training step is over: call ``on_step`` of every callback."""
        recorder = Recorder.of(self)
        self.first_batch(batch)
        if self._watch is not None:
            self._watch.step_reported()
        with full_precision():
            recorder.on_train_batch_end(self, self.lightning_module, metrics, batch, 0)

    def update_end(self, metrics: Mapping[str, Scalar]) -> None:
        """A library's own update is over, of which these are the metrics."""
        metrics = dict(metrics)
        fit = metrics.pop("explained_variance", None)
        if fit is not None:  # of a rollout; as a metric it would be the mean over an interval
            Recorder.of(self).record(to_floats({"train/explained_variance": fit}))
        self.step_end(metrics)

    def first_batch(self, batch: Any) -> None:
        """Call ``on_train_batch_start`` with the first batch, for callbacks that probe the module with it."""
        if batch is not None and not self._saw_batch and self._watch is not None:
            self._saw_batch = True
            self.call_hook("on_train_batch_start", batch, 0)

    def call_hook(self, hook: str, *args: Any) -> None:
        """Call a hook of every callback."""
        with full_precision():
            emit(self, hook, *args)

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
        """End the fit, if one is open, because of this error."""
        if self._detach():
            try:
                self.call_hook("on_exception", error)
            finally:
                self._finalize("failed")

    def _detach(self) -> bool:
        """Remove every hook; returns whether a fit was open."""
        watch, self._watch = self._watch, None
        if watch is None:
            return False
        atexit.unregister(self._at_exit)
        if watch.has_unreported_step:
            self.step_end({})
        watch.close()
        self._last_env_steps = self.env_steps or 0
        return True

    def _finalize(self, status: str) -> None:
        Recorder.of(self).end()  # it has ended already, unless a callback before it raised
        self._module, self.lightning_module, self.optimizers, self._count_env_steps = None, None, [], None
        if self.is_global_zero:
            for logger in self.loggers:
                if callable(getattr(logger, "finalize", None)):
                    logger.finalize(status)

    def _at_exit(self) -> None:
        """The script ends without a ``close``; where an exception ended it, Python keeps that."""
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and not hasattr(sys, "ps1"):
            self.fail(error)
        else:
            self.end()

    def _add_optimizer(self, optimizer: Optimizer) -> None:
        self.optimizers.append(optimizer)
        Recorder.of(self).counters.add(optimizer)

    def _watch_optimizers(self, watch: OptimizerWatch, *, find: bool) -> None:
        """Call the recorder, and callbacks of the user's that have the hook, before each optimizer step."""
        recorder, module = Recorder.of(self), self.lightning_module
        hooks = overriding((each for each in self.callbacks if each is not recorder), "on_before_optimizer_step")

        def before_step(optimizer: Optimizer) -> None:
            entered, inside = perf_counter(), recorder.stopwatch.inside
            with full_precision():
                recorder.on_before_optimizer_step(self, module, optimizer)
            recorder.stopwatch.inside = inside + perf_counter() - entered  # the blocks inside of it included

        def before_clip(optimizer: Optimizer) -> None:
            with full_precision():
                for hook in hooks:
                    hook(self, module, optimizer)

        is_wanted = callable(recorder.on_before_optimizer_step)
        watch.open(
            self.optimizers,
            find=find,
            before_step=before_step if is_wanted else None,
            before_clip=before_clip if hooks else None,
        )

    def _unreported_step(self) -> None:
        self.step_end({})

    def _restore(self) -> None:
        loaded, self._loaded = self._loaded, {}
        for callback in self.callbacks:
            key = getattr(callback, "state_key", None)
            if key in loaded:
                callback.load_state_dict(loaded[key])

    def _warn_of_second_run(self) -> None:
        """A run that begins below the last one's environment steps draws its curves over those of that run."""
        begins_at = self.env_steps
        if begins_at is not None and begins_at < self._last_env_steps and self.loggers and not self._loaded:
            given = f"got a second run that begins at {begins_at} after one that ended at {self._last_env_steps}"
            advice = "give each run a logger of its own, or its curves lie over those of the first"
            reason = f"expected one run for each logger, {given}; {advice}"
            Recorder.of(self).faults.report("env_steps", reason)
