"""The recorder of a run: collects what callbacks log and gives each backend one row at a time."""

import atexit
import os
from collections.abc import Mapping
from typing import Any, Literal
from weakref import ref

from lightning.pytorch import Callback

from puffer_callbacks.axes import XAxis
from puffer_callbacks.backends.multi_writer import Backends
from puffer_callbacks.config.redact import Redactor
from puffer_callbacks.faults import Faults, format_error
from puffer_callbacks.overhead.budget import Budget
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.recorder.training_steps import TrainingSteps
from puffer_callbacks.values import Text, Value
from puffer_callbacks.values.tags import sanitize_tag


class Recorder(Callback):
    """Collects all that the callbacks of a run log, and writes it as rows: one for each point of the x axis.

    There is one in each run. It creates itself beside the first puffer callback; list it in ``callbacks=[…]``
    only to configure it.

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
        self.x_axis: Literal["auto"] | XAxis = x_axis
        self.overhead_budget = overhead_budget
        self.faults = Faults(strict=strict)
        self._new_run(None)

    def _new_run(self, trainer: Any) -> None:
        """Forget everything of an earlier run."""
        self.faults.reset()
        self.budget, self.counters, self.stopwatch = Budget(self.overhead_budget), Counters(), Stopwatch()
        self._trainer = None if trainer is None else ref(trainer)
        self._row_log: RowLog | None = None
        self._steps: TrainingSteps | None = None
        self._elapsed = 0.0
        self._ended: dict[str, Any] = {}
        self._guards: dict[str, Guard] = {}
        self._guard = self.guard("Recorder")

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

    def guard(self, name: str) -> Guard:
        """A block whose time counts as overhead and whose faults are reported, not raised."""
        guard = self._guards.get(name)
        if guard is None:
            guard = self._guards[name] = Guard(name, self.stopwatch, self.faults, self.budget.stopwatch(name))
        return guard

    @property
    def is_open(self) -> bool:
        """Whether there is a run to record."""
        return self._row_log is not None

    @property
    def latest(self) -> dict[str, float]:
        """The last number of each tag, in this fit."""
        return self._row_log.latest if self._row_log is not None else {}

    @property
    def steps(self) -> TrainingSteps | None:
        """The training steps of the fit that is running."""
        return self._steps

    def record(self, values: Mapping[str, Value], *, count: int | None = None) -> None:
        """Add values to the row at this point of the run.

        Args:
            values: tag to value.
            count: over how many steps the values are means, if they are.
        """
        if self._row_log is not None and values:
            values = {sanitize_tag(str(tag)): value for tag, value in values.items()}
            self._row_log.record(values, self.counters.axes(), count=count)
            if self._steps is not None:
                self._steps.publish_later(values)

    def record_now(self, values: Mapping[str, Value]) -> None:
        """Write values at once, outside the rows: text and configuration, which are no series."""
        if self._row_log is not None:
            self._row_log.write(values, self.counters.axes())

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Open the writers, before any callback logs."""
        self.attach(trainer)
        if stage == "fit":
            self.open_writers(trainer, pl_module)
            if self._row_log is not None:
                self._row_log.on_hold = True

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to count: the optimizers are there."""
        with self._guard:
            self.counters.watch(pl_module, trainer.optimizers)

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Start to record: every checkpoint is loaded by now."""
        with self._guard:
            if not self.counters.optimizer_steps and trainer.global_step:  # a checkpoint without our state
                self.counters.continue_at(trainer.global_step)
            if self._row_log is not None:
                self._stop_steps()
                self._steps = TrainingSteps(self, self._row_log, trainer, pl_module)
                self._row_log.start(self.counters.axes(), elapsed=self._elapsed)
            self.stopwatch.restart()  # what it costs to open a backend is no share of a step
            self.budget.restart()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Measure the gradients where a callback is due."""
        if self._steps is not None:
            self._steps.before_optimizer_step(optimizer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Add up what a training step returned; where anything is due, write the open row and call the callbacks."""
        if self._steps is not None:
            self._steps.step_end(outputs, batch)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the open intervals to ``EarlyStopping`` and its kind, which Lightning calls after all others."""
        if self._steps is not None:
            self._steps.publish(with_open_intervals=True)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Show the last intervals."""
        if self._steps is not None:
            self._steps.publish()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what is left."""
        self.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Write what is left, and why there is no more."""
        reason = str(Redactor()("run/ended_by", format_error(exception)))
        with self.faults.suppressed():
            with self._guard:
                self.record_now({"run/ended_by": Text(reason)})
            self.end()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Release the run."""
        self.end()

    def state_dict(self) -> dict[str, Any]:
        """The counters and the open row, for a checkpoint; all that it counts as written is flushed."""
        state = self._ended
        with self.guard("Recorder, its part of a checkpoint"):
            if self._row_log is not None:
                self._row_log.flush()
                state = self._state(self._row_log)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if state_dict and self._row_log is not None:
            with self.guard("Recorder, its part of a checkpoint"):
                self.counters.load_state_dict(state_dict["counters"])
                self._elapsed = state_dict["elapsed"]
                self._row_log.load_state_dict(state_dict["row_log"])

    def __getstate__(self) -> dict[str, Any]:
        """The configuration: a copy begins a run of its own."""
        return {"x_axis": self.x_axis, "overhead_budget": self.overhead_budget, "strict": self.faults.strict}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["x_axis"], overhead_budget=state["overhead_budget"], strict=state["strict"])  # type: ignore[misc]

    def attach(self, trainer: Any) -> None:
        """Join the trainer's callbacks behind the others, so that what they log last is still recorded.

        Raises:
            ValueError: if there is another recorder.
        """
        others = [callback for callback in trainer.callbacks if callback is not self]
        if any(isinstance(callback, Recorder) for callback in others):
            raise ValueError("expected one Recorder in callbacks=[…], got two; configure one and leave the other out")
        kinds = [{base.__name__ for base in type(callback).__mro__} for callback in others]
        at = next((i for i, names in enumerate(kinds) if "Checkpoint" in names), len(others))
        # a new list, as Lightning may be walking through the old one; checkpoint callbacks stay last
        trainer.callbacks = [*others[:at], self, *others[at:]]

    def open_writers(self, trainer: Any, pl_module: Any) -> None:
        """Open the writers of a run, if they are not open."""
        is_same = self._trainer is not None and self._trainer() is trainer
        if self._row_log is not None and is_same:
            return
        self.end()
        if not is_same or not trainer.global_step:
            self._new_run(trainer)
        self.counters.watch(pl_module, ())
        backends = Backends(trainer.loggers if trainer.is_global_zero else (), self.faults)
        self._row_log = RowLog(backends, x_axis=self.x_axis, stopwatch=self.stopwatch)
        self._process = os.getpid()
        atexit.register(self._at_exit)

    def end(self) -> None:
        """Write what is left and release the run."""
        with self._guard:
            self._stop_steps()
            row_log, self._row_log = self._row_log, None
            if row_log is not None:
                self._close(row_log)
            self.counters.unwatch()

    def _stop_steps(self) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None

    def _close(self, row_log: RowLog) -> None:
        atexit.unregister(self._at_exit)
        try:
            row_log.close()
        finally:
            self._ended = self._state(row_log)  # for a checkpoint that is saved after the fit
            self._elapsed = self._ended["elapsed"]

    def _at_exit(self) -> None:
        """The script ended in mid-run; a forked child leaves the run to its parent."""
        if os.getpid() == self._process:
            with self.faults.suppressed():
                self.end()

    def _state(self, row_log: RowLog) -> dict[str, Any]:
        elapsed = row_log.elapsed(self.counters.axes()) if not row_log.on_hold else self._elapsed
        return {"counters": self.counters.state_dict(), "row_log": row_log.state_dict(), "elapsed": elapsed}
