"""What callbacks see of a run that Lightning's ``Trainer`` does not drive."""

import atexit
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import distributed
from torch.optim import Optimizer

from puffer_callbacks.adapters.module_view import as_lightning_module, unwrap
from puffer_callbacks.adapters.optimizers import OptimizerWatch
from puffer_callbacks.callbacks.module_api import emit
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.values.scalars import Scalar, to_floats


class TrainerAdapter:
    """Stands for a trainer: has what callbacks read of one, and calls their hooks in Lightning's order.

    Args:
        loggers: Lightning loggers, one or several, or ``None``.
        callbacks: callbacks, one or several, or ``None``.
    """

    accumulate_grad_batches = 1
    datamodule = None
    sanity_checking = False
    fast_dev_run = False
    should_stop = False
    training = True

    def __init__(self, loggers: Any = (), callbacks: Any = ()) -> None:
        self.loggers = _listed(loggers)
        self.callbacks = _listed(callbacks)
        for callback in self.callbacks:
            if not callable(getattr(callback, "setup", None)):
                raise TypeError(f"callbacks: expected Lightning callbacks, got {type(callback).__name__}")
        self.optimizers: list[Optimizer] = []
        self.hparams: Mapping[str, Any] = {}
        self.lightning_module: Any = None
        self._module: Any = None
        self.current_epoch = 0
        self._tell_env_steps: Callable[[], int] | None = None
        self._watch: OptimizerWatch | None = None
        self._states: dict[str, Any] = {}
        self._set_up = self._shown = False

    @property
    def is_open(self) -> bool:
        """Whether a fit has begun and not ended."""
        return self._watch is not None

    @property
    def logger(self) -> Any:
        """The first logger, if any."""
        return self.loggers[0] if self.loggers else None

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return distributed.get_world_size() if _distributed() else 1

    @property
    def global_rank(self) -> int:
        """Which of them this is."""
        return distributed.get_rank() if _distributed() else 0

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the one that logs."""
        return self.global_rank == 0

    @property
    def global_step(self) -> int:
        """Optimizer steps so far; 0 while the first fit is set up, whatever the recorder counted elsewhere."""
        return Recorder.of(self).counters.optimizer_steps if self._set_up else 0

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far, where the loop or its module tells them."""
        if self._tell_env_steps is not None:
            return int(self._tell_env_steps())
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
            module: what is trained.
            hparams: the configuration.
            optimizers: those of the module.
            find: whether to look out for optimizers that are not among them.
            env_steps: tells the environment steps so far.
        """
        plain = unwrap(module)
        self.end()
        self.hparams, self.optimizers, self._tell_env_steps = hparams, list(optimizers), env_steps
        self._module, self.lightning_module, self._shown = plain, as_lightning_module(plain, self), False
        Recorder.of(self)
        self._watch = OptimizerWatch(plain, found=self._found, before=self._before, over=self._over)
        self.tell("setup", "fit")
        self._set_up = True
        self._restore()
        self.tell("on_fit_start")
        self.tell("on_train_start")
        self._watch.open(self.optimizers, find=find)
        atexit.register(self._at_exit)  # runs before that of a backend that was opened earlier

    def report(self, metrics: object, batch: Any = None) -> None:
        """A training step is over: call ``on_step`` everywhere."""
        recorder = Recorder.of(self)
        self.show(batch)
        if self._watch is not None:
            self._watch.reported()
        with self._full_precision():
            recorder.on_train_batch_end(self, self.lightning_module, metrics, batch, 0)

    def update(self, metrics: Mapping[str, Scalar]) -> None:
        """An update of a library's own is over, which told these metrics."""
        metrics = dict(metrics)
        fit = metrics.pop("explained_variance", None)
        if fit is not None:  # a rollout's own; as a metric it would be the mean over an interval
            Recorder.of(self).record(to_floats({"train/explained_variance": fit}))
        self.report(metrics)

    def show(self, batch: Any) -> None:
        """Hand over the first batch, for callbacks that look at the module with it."""
        if batch is not None and not self._shown and self._watch is not None:
            self._shown = True
            self.tell("on_train_batch_start", batch, 0)

    def tell(self, hook: str, *args: Any) -> None:
        """Call a hook of every callback."""
        with self._full_precision():
            emit(self, hook, *args)

    def end(self) -> None:
        """End the fit, if one is open."""
        if self._let_go():
            try:
                self.tell("on_train_end")
                self.tell("on_fit_end")
                self.tell("teardown", "fit")
            finally:
                self._finalize("success")

    def fail(self, error: BaseException) -> None:
        """End the fit, if one is open, for this reason."""
        if self._let_go():
            try:
                self.tell("on_exception", error)
            finally:
                self._finalize("failed")

    def _let_go(self) -> bool:
        watch, self._watch = self._watch, None
        if watch is None:
            return False
        atexit.unregister(self._at_exit)
        if watch.unreported:
            self.report({})
        watch.close()
        return True

    def _finalize(self, status: str) -> None:
        Recorder.of(self).end()  # it has, unless a callback before it raised
        self._module, self.lightning_module, self.optimizers, self._tell_env_steps = None, None, [], None
        if self.is_global_zero:
            for logger in self.loggers:
                if callable(getattr(logger, "finalize", None)):
                    logger.finalize(status)

    def _at_exit(self) -> None:
        """The script ends without a ``close``; where an exception ended it, Python remembers which."""
        error = getattr(sys, "last_value", None)
        if isinstance(error, BaseException) and not hasattr(sys, "ps1"):
            self.fail(error)
        else:
            self.end()

    def _found(self, optimizer: Optimizer) -> None:
        self.optimizers.append(optimizer)
        Recorder.of(self).counters.add(optimizer)

    def _before(self, optimizer: Optimizer) -> None:
        self.tell("on_before_optimizer_step", optimizer)

    def _over(self) -> None:
        self.report({})

    def _restore(self) -> None:
        states, self._states = self._states, {}
        for callback in self.callbacks:
            key = getattr(callback, "state_key", None)
            if key in states:
                callback.load_state_dict(states[key])

    def _full_precision(self) -> ExitStack:
        """Measures are exact, also where a loop is inside of autocast: PuffeRL never leaves it."""
        stack = ExitStack()
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        return stack


def _listed(given: Any) -> list[Any]:
    if given is None or given is False:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
