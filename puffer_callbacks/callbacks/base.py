"""The base class of every callback of this package."""

import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from lightning.pytorch import Callback
from torch import nn

from puffer_callbacks.distributed import is_sharded
from puffer_callbacks.recorder.optimizer_steps import OptimizerSchedule
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
    interval_unit = "steps"
    """What ``_every`` counts: ``"steps"`` or ``"rollouts"``."""
    uses_collectives = False
    """Whether it communicates with other ranks where it fires. With several its interval stays as it is: each rank
    would widen it at another step, and they would wait for each other for ever."""
    reads_metrics = True
    """Whether ``on_step`` reads the ``metrics`` that it is given."""
    reads_every_step = False
    """Whether the recorder passes every step's outputs to ``update``."""
    gradient_schedule: OptimizerSchedule | None = None
    """When ``before_optimizer_step(trainer, pl_module, optimizer, step)`` is called, for callbacks that measure
    gradients; what it returns is called right after the step, if the step is taken."""
    _every: Every
    _run: object = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make sure that the run has a recorder, and that it is open."""
        recorder = Recorder.of(trainer)
        recorder.setup(trainer, pl_module, stage)
        if stage == "fit" and self._run is not recorder.run.token:
            self._run = recorder.run.token
            self.reset(trainer)
        if self.expensive and not (self.uses_collectives and trainer.world_size > 1):
            recorder.run.budget.register(type(self).__name__, self._every, unit=self.interval_unit)

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs: a run begins. The same callbacks may be given to one trainer after another, and a
        second ``fit`` of one trainer continues its run."""

    @property
    def state_key(self) -> str:
        """The key in checkpoints: callbacks of one kind stand side by side if their intervals differ."""
        every = getattr(self, "_every", None)
        return type(self).__qualname__ if every is None else f"{type(self).__qualname__}{{every_n: {every.n}}}"

    @property
    def next_step(self) -> int:
        """The optimizer step from which on ``on_step`` is wanted; every step for a callback of your own."""
        return sys.maxsize if type(self).on_step is PufferCallback.on_step else 0

    def resume_at(self, optimizer_steps: int) -> None:
        """Start to train at this optimizer step, after a checkpoint was loaded."""

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


def can_run_alone(trainer: Any, pl_module: Any, *, name: str) -> bool:
    """Whether a forward pass of the model needs no other rank; if it does, one warning says what is left out."""
    model = getattr(trainer, "model", None)
    if not is_sharded(model if isinstance(model, nn.Module) else pl_module):
        return True
    reason = "expected a model that is whole on each rank, got a sharded one (FSDP, ZeRO 3); left out"
    Recorder.of(trainer).faults.report(name, reason)
    return False


def guarded(hook: Callable[Concatenate[C, Any, P], None]) -> Callable[Concatenate[C, Any, P], None]:
    """A hook of ours, whose time counts as overhead and whose faults never end the run."""
    sees_rollout, at_the_end = hook.__name__ == "on_rollout_end", hook.__name__ == "on_exception"

    @wraps(hook)
    def run(self: C, /, trainer: Any, *args: P.args, **kwargs: P.kwargs) -> None:
        recorder = Recorder.of(trainer)
        with recorder.faults.suppressed() if at_the_end else nullcontext(), recorder.guard(type(self).__name__):
            if sees_rollout:
                recorder.counters.see_rollout(kwargs.get("rollout", args[-1] if args else None))
            hook(self, trainer, *args, **kwargs)

    return run  # type: ignore[return-value]  # it may be called by keyword, too
