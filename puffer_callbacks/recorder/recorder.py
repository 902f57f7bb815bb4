"""``Recorder``: collects what callbacks log, and gives each backend one row at a time."""

from collections.abc import Callable, Mapping
from typing import Any, Literal
from weakref import ref

from lightning.pytorch import Callback

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.config.redact import Redactor
from puffer_callbacks.faults import Faults, format_error
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.idle_hooks import HookWhenDue, has_own_hook, hide_idle_hooks, show_idle_hooks
from puffer_callbacks.recorder.run import Run
from puffer_callbacks.values import Text, Value


class Recorder(Callback):
    """Collects all that the callbacks of a run log, and writes it as rows: one for each point of the x axis.

    One in each run creates itself beside the first puffer callback; list it in ``callbacks=[…]`` to configure it.

    Args:
        x_axis: what the loggers' step stands for: ``"env_steps"``, ``"optimizer_steps"``, or ``"auto"``, which is
            environment steps where the module or its rollouts have them. Every row carries all axes as ``time/…``.
        overhead_budget: the share of the run's time, in (0, 1], that recording may take. Above it the most expensive
            callback fires less often, until there is room again. ``logging/overhead_pct`` is what was measured.
        strict: raise where it would otherwise warn.

    Raises:
        ValueError: if ``x_axis`` is another word, or ``overhead_budget`` is outside (0, 1].

    Example:
        >>> Recorder("optimizer_steps", overhead_budget=0.02).x_axis
        'optimizer_steps'
    """

    def __init__(
        self, x_axis: Literal["auto"] | XAxis = "auto", *, overhead_budget: float = 0.03, strict: bool = False
    ) -> None:
        if x_axis not in ("auto", "env_steps", "optimizer_steps"):
            raise ValueError(f"x_axis: expected 'auto', 'env_steps' or 'optimizer_steps', got {x_axis!r}")
        is_number = isinstance(overhead_budget, int | float) and not isinstance(overhead_budget, bool)
        if not (is_number and 0 < overhead_budget <= 1):
            raise ValueError(f"overhead_budget: expected a share in (0, 1], got {overhead_budget!r}")
        self.x_axis, self.overhead_budget, self.faults = x_axis, overhead_budget, Faults(strict=strict)
        self.begin_run(None)

    def begin_run(self, trainer: Any) -> None:
        """Forget everything of an earlier run; without a trainer, the next that is set up begins one."""
        self.run = Run(self.faults, overhead_budget=self.overhead_budget)
        self._trainer = None if trainer is None else ref(trainer)

    @classmethod
    def of(cls, trainer: Any) -> "Recorder":
        """The recorder of a trainer; where there is none yet, a new one joins its callbacks.

        Args:
            trainer: a Lightning ``Trainer``, or anything that has ``callbacks`` and ``loggers``.
        """
        for callback in reversed(trainer.callbacks):
            if isinstance(callback, cls):
                return callback
        recorder = cls()
        recorder.attach(trainer)
        return recorder

    @property
    def counters(self) -> Counters:
        """The counters of the run."""
        return self.run.counters

    @property
    def is_open(self) -> bool:
        """Whether there is a run to record."""
        return self.run.row_log is not None

    @property
    def latest(self) -> dict[str, float]:
        """The last number of each tag, in this fit."""
        return self.run.row_log.latest if self.run.row_log else {}

    def guard(self, name: str) -> Guard:
        """A block whose time counts as overhead and whose faults are reported, not raised."""
        return self.run.guard(name)

    def record(self, values: Mapping[str, Value], *, axes: Axes | None = None, count: int | None = None) -> None:
        """Add values to the row at this point of the run.

        Args:
            values: tag to value.
            axes: another, earlier point of the run, for values that must not replace those of the open row.
            count: over how many steps the values are means, if they are.
        """
        self.run.record(values, axes=axes, count=count)

    def record_now(self, values: Mapping[str, Value]) -> None:
        """Write values at once, outside the rows: text and configuration, which are no series."""
        if self.run.row_log is not None:
            self.run.row_log.write(values, self.counters.axes())

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Open the writers, before any callback logs."""
        self.attach(trainer)
        with self.guard("Recorder"):
            if stage == "fit":
                self.open_writers(trainer, pl_module)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to count: the optimizers exist by now."""
        with self.guard("Recorder"):
            self.counters.watch(pl_module, trainer.optimizers)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to record."""
        with self.guard("Recorder"):
            self.run.start(trainer, pl_module)
            self.unused_hooks = () if self.run.measures_gradients else (Recorder.on_before_optimizer_step,)
            hide_idle_hooks(self)

    @HookWhenDue
    def on_before_optimizer_step(self) -> Callable[[Any, Any, Any], None] | None:
        """Measure the gradients of a step, where a callback may be due."""
        steps = self.run.steps
        return steps.before_optimizer_step if steps and self.run.counters.may_inspect() else None

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add up what a training step returned; where anything is due, write the open row and call the callbacks."""
        if self.run.steps is not None:
            self.run.steps.step_end(outputs, batch)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin an epoch: what a rollout logs now is published after the first batch."""
        if self.run.steps is not None:
            self.run.steps.epoch_start()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Publish the means of open intervals, for ``EarlyStopping`` and its kind, which Lightning calls last."""
        if self.run.steps is not None:
            self.run.steps.epoch_end()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Publish the means of the last intervals."""
        if self.run.steps is not None:
            self.run.steps.publish()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the open row, and release the run; a module's own ``on_fit_end`` comes after this, and may log."""
        if not has_own_hook(pl_module, "on_fit_end"):
            self.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write the exception and the open row."""
        reason = str(Redactor()("run/ended_by", format_error(exception)))
        with self.faults.suppressed():
            with self.guard("Recorder"):
                self.record_now({"run/ended_by": Text(reason)})
            self.end()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Release the run, if it is open still."""
        self.end()

    def state_dict(self) -> dict[str, Any]:
        """The counters and the open row, for a checkpoint; all that it counts as written is flushed."""
        with self.guard("Recorder, its part of a checkpoint"):
            return self.run.state_dict()
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if state_dict:
            with self.guard("Recorder, its part of a checkpoint"):
                self.run.load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        """The configuration: a copy begins a run of its own."""
        return {"x_axis": self.x_axis, "overhead_budget": self.overhead_budget, "strict": self.faults.strict}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Recorder.__init__(self, state["x_axis"], overhead_budget=state["overhead_budget"], strict=state["strict"])

    def attach(self, trainer: Any) -> None:
        """Join the trainer's callbacks behind the others, so that what they log last is still recorded.

        Raises:
            ValueError: if there is another recorder.
        """
        others = [callback for callback in trainer.callbacks if callback is not self]
        if any(isinstance(callback, Recorder) for callback in others):
            raise ValueError("expected one Recorder in callbacks=[…], got two; configure one and leave the other out")
        is_checkpoint = ["Checkpoint" in {base.__name__ for base in type(callback).__mro__} for callback in others]
        at = is_checkpoint.index(True) if any(is_checkpoint) else len(others)  # checkpoint callbacks stay last
        trainer.callbacks = [*others[:at], self, *others[at:]]  # a new list: Lightning may be iterating over the old

    def open_writers(self, trainer: Any, pl_module: Any) -> None:
        """Open the writers of a run, if they are not open; rows wait for its start."""
        is_same = self._trainer is not None and self._trainer() is trainer
        if self.is_open and is_same:
            return
        self.end()
        if not is_same or not trainer.global_step:
            self.begin_run(trainer)
        self.counters.watch(pl_module, ())
        self.run.open(trainer.loggers if trainer.is_global_zero else (), x_axis=self.x_axis)
        self.run.hold()

    def open_in_mid_run(self, trainer: Any, pl_module: Any) -> None:
        """Begin to record where the trainer is already running: in mid-fit, or in validation or test alone."""
        self.open_writers(trainer, pl_module)
        self.on_fit_start(trainer, pl_module)
        self.on_train_start(trainer, pl_module)

    def end(self) -> None:
        """Write the open row and release the run."""
        with self.guard("Recorder"):
            show_idle_hooks(self)
            self.run.close()
