"""The base class of every callback of this package."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from lightning.pytorch import Callback

from puffer_callbacks.recorder.hooks import Gate, hide_idle_hooks, is_ours
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar

C = TypeVar("C", bound="PufferCallback")
P = ParamSpec("P")


class PufferCallback(Callback):
    """A Lightning callback with two more hooks: ``on_step`` and ``on_rollout_end``.

    Example:
        >>> class BestReturn(PufferCallback):
        ...     best = float("-inf")
        ...     def on_rollout_end(self, trainer, pl_module, rollout):
        ...         self.best = max(self.best, rollout.rewards.sum(0).max().item())
    """

    expensive = False
    """Whether the recorder may widen the interval, ``_every``, where recording goes over its budget."""
    meets = False
    """Whether it may have to do with other ranks where it fires. With several its interval stays as it is, since
    each rank would widen it at another step, and they would wait for each other for ever."""
    looks_ahead: int | None = None
    """For a callback whose step hooks have to do with firings only: the optimizer steps before one at which
    ``on_before_optimizer_step`` is wanted. The hooks are called then, and not at other steps."""
    _every: Every

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make sure that the run has a recorder, and that it listens."""
        recorder = Recorder.of(trainer)
        recorder.setup(trainer, pl_module, stage)
        if self.expensive and not (self.meets and trainer.world_size > 1):
            recorder.budget.register(type(self).__name__, self._every)
        hide_idle_hooks(self)
        hide_idle_hooks(self, PufferCallback, ("on_step",))

    def gate(self) -> Gate | None:
        """What holds the step hooks back between firings, for a callback that looks ahead to them."""
        if self.looks_ahead is None or not is_ours(self, "on_step"):
            return None
        return Gate(self, self._every, ahead=self.looks_ahead)

    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Called once after each training batch.

        Args:
            trainer: the trainer.
            pl_module: the module in training.
            metrics: the scalars that ``training_step`` returned, detached: 0-d tensors on their device, or
                floats.
        """

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Called when the module has collected a rollout: ``emit(self, "on_rollout_end", rollout)``."""


def guarded(hook: Callable[Concatenate[C, P], None]) -> Callable[Concatenate[C, P], None]:
    """A hook of ours, whose time counts as overhead and whose faults never end the run."""
    sees_rollout = hook.__name__ == "on_rollout_end"

    @wraps(hook)
    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        recorder = Recorder.of(args[0])
        with recorder.guard(type(self).__name__):
            if sees_rollout:
                recorder.counters.see_rollout(args[2])
            hook(self, *args, **kwargs)

    @wraps(hook)
    def run_at_the_end(self: C, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with Recorder.of(args[0]).faults.suppressed():
            run(self, *args, **kwargs)

    return run_at_the_end if hook.__name__ == "on_exception" else run
