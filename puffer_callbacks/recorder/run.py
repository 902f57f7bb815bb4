"""``Run``: the state of one recorded run."""

import atexit
import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.default_writer import default_writer
from puffer_callbacks.faults import Faults
from puffer_callbacks.overhead.budget import Budget
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.configured_optimizers import ConfiguredOptimizers
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.recorder.training_steps import TrainingSteps
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Value
from puffer_callbacks.values.tags import sanitize_tag


class Run:
    """The state of a run, from its setup to its end. A second fit of one trainer continues it.

    Args:
        faults: where faults are reported.
        overhead_budget: the share of the run's time that recording may take.
    """

    def __init__(self, faults: Faults, *, overhead_budget: float) -> None:
        self.faults = faults
        self.token = object()
        """Identifies this run; a copy of it identifies none."""
        self.budget, self.counters, self.stopwatch = Budget(overhead_budget), Counters(self._handle), Stopwatch()
        self.configured = ConfiguredOptimizers()
        """What the optimizers were configured with."""
        self.row_log: RowLog | None = None
        """The rows, while the run is open."""
        self.steps: TrainingSteps | None = None
        """The training steps, while a fit runs."""
        self.examples: int | None = None
        """The examples in a batch, once one was given."""
        self._elapsed = 0.0
        self._ended: dict[str, Any] = {}
        self._early: dict[str, Value] = {}  # to be published once Lightning has reset its metrics for training
        self._guards: dict[str, Guard] = {}
        self.logged_names: set[str] = set()
        """The tags that Lightning gives loggers by itself, as what modules log with ``self.log``."""

    def guard(self, name: str) -> Guard:
        """A block whose time counts as overhead and whose faults are reported, not raised."""
        guard = self._guards.get(name)
        if guard is None:
            guard = self._guards[name] = Guard(name, self.stopwatch, self.faults, self.budget.stopwatch(name))
        return guard

    def put_under_budget(self, name: str, schedule: Every, *, unit: str) -> None:
        """Let the budget widen a callback's interval, and have its guard measure what it costs."""
        self.budget.register(name, schedule, unit=unit)
        self._guards.pop(name, None)

    def open(self, loggers: Iterable[Any], *, x_axis: Literal["auto"] | XAxis) -> None:
        """Open the writers."""
        self.faults.reset()
        self._early = {}
        backends = default_writer(loggers, self.faults, take_row=self._take_row, logged_names=self.logged_names)
        self.row_log = RowLog(backends, x_axis=x_axis, stopwatch=self.stopwatch)
        self._process = os.getpid()
        atexit.register(self._at_exit)

    def add_listener(self, listener: Any) -> None:
        """Give whole rows to one more object, with ``log_values(values, step)``, on every rank."""
        if self.row_log is not None:
            self.row_log.backends.add_listener(listener)

    def hold(self) -> None:
        """Keep rows until the start: a checkpoint may still fail to load, and must not cost an earlier run."""
        if self.row_log is not None:
            before = self._ended["row_log"]["last_step"] if self._ended else None  # of an earlier fit
            self.row_log.hold(elapsed=self._elapsed, last_step=before)

    def start(self, trainer: Any, pl_module: Any) -> None:
        """Start to record a fit: every checkpoint is loaded by now."""
        if not self.counters.optimizer_steps and trainer.global_step and not self._ended:  # not a state of ours
            self.counters.continue_at(trainer.global_step)
        self.stop()
        if self.row_log is not None:
            self.steps = TrainingSteps(self, self.row_log, trainer, pl_module)
            self.row_log.start(self.counters.axes(), elapsed=self._elapsed, ended_at=self._ended_at)
            self.steps.publish_later(self._early)
        self.stopwatch.restart()  # what it costs to open a backend is no share of a step
        self.budget.restart()

    def record(
        self,
        values: Mapping[str, Value],
        *,
        axes: Axes | None = None,
        count: int | None = None,
        monitored: bool = True,
    ) -> None:
        """Add values to the row at this point of the run, see ``Recorder.record``; of monitored values Lightning's
        callbacks see the numbers, in ``trainer.callback_metrics``."""
        if self.row_log is not None and values:
            values = {sanitize_tag(str(tag)): value for tag, value in values.items()}
            at = self.counters.axes() if axes is None else axes
            self.row_log.record(values, at, count=count, own_point=axes is not None)
            if monitored and self.steps is not None:
                self.steps.publish_later(values)
            elif monitored:
                self._early |= values

    @property
    def measures_gradients(self) -> bool:
        """Whether a callback measures gradients at optimizer steps."""
        return self.steps is not None and self.steps.measures_gradients

    @property
    def x(self) -> int:
        """The x of the row that values recorded now would be in."""
        return 0 if self.row_log is None else self.row_log.x(self.row_log.point(self.counters.axes()))

    @property
    def open_row(self) -> tuple[dict[str, float], int]:
        """The numbers of the row that is not written yet, and its x."""
        log = self.row_log
        return ({}, 0) if log is None or not log.row else (log.row.numbers, log.open_at)

    def stop(self) -> None:
        """Stop following training steps."""
        if self.steps is not None:
            self.steps.close()
            self.steps = None

    def close(self) -> None:
        """Write the open row, and release the loggers, the module and its optimizers."""
        atexit.unregister(self._at_exit)
        self.stop()
        row_log, self.row_log = self.row_log, None
        try:
            if row_log is not None:
                self._elapsed = self._seconds(row_log)
                row_log.close()
        finally:
            if row_log is not None:
                self._ended = self._state(row_log) | {"elapsed": self._elapsed}  # to be saved after the fit
            self.counters.unwatch()

    def state_dict(self) -> dict[str, Any]:
        """The counters and the open row, for a checkpoint; all that it counts as written is flushed."""
        if self.row_log is None:
            return self._ended
        self.row_log.backends.flush()
        return self._state(self.row_log)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if self.row_log is not None:
            self.counters.load_state_dict(state["counters"])
            self.budget.load_state_dict(state.get("budget", {}))
            self.configured.load_state_dict(state.get("configured", []))
            self.examples = state.get("examples")
            self._elapsed = state["elapsed"]
            self.row_log.load_state_dict(state["row_log"], elapsed=self._elapsed)

    def _take_row(self, metrics: Mapping[str, Any]) -> bool:
        """Whether a row is one that Lightning logs by itself, and recorded."""
        if self.steps is not None:
            with self.guard("Recorder"):
                return self.steps.logged_rows.take(metrics)
        return False

    def _handle(self, error: Exception) -> bool:
        return self.guard("Recorder").handle(error)

    def _at_exit(self) -> None:
        """The script ended in mid-run; a forked child leaves the run to its parent."""
        if os.getpid() == self._process:
            with self.faults.suppressed(), self.guard("Recorder"):
                self.close()

    def _state(self, row_log: RowLog) -> dict[str, Any]:
        return {
            "counters": self.counters.state_dict(),
            "row_log": row_log.state_dict(),
            "elapsed": self._seconds(row_log),
            "budget": self.budget.state_dict(),
            "configured": self.configured.state_dict(),
            "examples": self.examples,
        }

    @property
    def _ended_at(self) -> Axes | None:
        """Where an earlier fit of the run ended."""
        counters = self._ended.get("counters")
        return None if counters is None else Axes(counters["env_steps"], counters["optimizer_steps"], 0.0)

    def _seconds(self, row_log: RowLog) -> float:
        return self._elapsed if row_log.on_hold else row_log.elapsed(self.counters.axes())
