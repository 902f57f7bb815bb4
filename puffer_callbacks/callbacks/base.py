"""The base class of every callback of this package."""

import sys
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback

from puffer_callbacks.callbacks.guarded import guarded_state
from puffer_callbacks.faults import Faults
from puffer_callbacks.recorder.idle_hooks import PER_BATCH_HOOKS
from puffer_callbacks.recorder.optimizer_schedule import OptimizerSchedule
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar


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
    logs_earlier_points = False
    """Whether ``on_step`` logs at earlier points, each in a row of its own: it is called after the others'."""
    gradient_schedule: OptimizerSchedule | None = None
    """When ``before_optimizer_step(trainer, pl_module, optimizer, step)`` is called, for callbacks that measure
    gradients; what it returns is called right after the step, if the step is taken."""
    unused_hooks: tuple[Any, ...] = ()
    """Hooks of the class, such as ``(MyCallback.on_train_batch_start,)``, that these options have no use for: Lightning
    passes them over while a fit runs."""
    _every: Every
    _run_token: object = None
    _faults: Faults | None = None

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Make sure that the run has a recorder, and that it is open."""
        recorder = Recorder.of(trainer)
        recorder.setup(trainer, pl_module, stage)
        self._faults = recorder.faults
        with recorder.guard(type(self).__name__):
            if stage == "fit" and self._run_token is not recorder.run.token:
                self._run_token = recorder.run.token
                if self.expensive:
                    self._every.reset()
                if self.gradient_schedule is not None:
                    self.gradient_schedule.load_state_dict(None)
                self.reset(trainer)
            if self.expensive and not (self.uses_collectives and trainer.world_size > 1):
                recorder.run.put_under_budget(type(self).__name__, self._every, unit=self.interval_unit)

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs, where a new one begins: callbacks may be given to one trainer after another. A second
        ``fit`` of one trainer continues its run."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not (name in PER_BATCH_HOOKS and value is None)}

    @property
    def state_key(self) -> str:
        """The key in checkpoints: callbacks of one kind stand side by side if their intervals differ."""
        every = getattr(self, "_every", None)
        name = type(self).__qualname__
        return f"{name}{{every_n: {every.n}}}" if isinstance(every, Every) else name

    @property
    def next_step(self) -> int:
        """The optimizer step from which on ``on_step`` is wanted; every step for a callback of your own."""
        return sys.maxsize if type(self).on_step is PufferCallback.on_step else 0

    def resume_at(self, optimizer_steps: int) -> None:
        """Start to train at this optimizer step, after a checkpoint was loaded: begin the interval that it lies in."""
        if self.expensive and self.interval_unit == "steps":
            self._every.resume_at(optimizer_steps)
        if self.gradient_schedule is not None:
            self.gradient_schedule.resume_at(optimizer_steps)

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """Where the interval stands, for a checkpoint; a callback that keeps more adds it."""
        return {"last": self._every.last} if self.expensive else {}

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval of a checkpoint."""
        if not self.expensive:
            return
        if self.interval_unit == "rollouts":
            self._every.resume_at(state_dict.get("last", 0))
        else:  # with the fit's first step
            self._every.load(state_dict.get("last"))

    def gather_state(self, state: dict[str, Any]) -> None:
        """Add the state of other ranks to that of a checkpoint, which is rank 0's: all ranks call it together.

        Args:
            state: as ``state_dict`` returned it on this rank; what is changed in it on rank 0 is saved.
        """

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Gather the state of all ranks, which Lightning saves together, unless an exception has ended some."""
        if trainer.world_size > 1 and "callbacks" in checkpoint and not trainer.interrupted:
            with Recorder.of(trainer).guard(f"{type(self).__name__}, its part of a checkpoint"):
                self.gather_state(checkpoint["callbacks"].get(self.state_key, {}))

    def open_means(self) -> dict[str, float]:
        """The means so far of intervals that have not ended, by tag, for callbacks with ``reads_every_step``."""
        return {}

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
