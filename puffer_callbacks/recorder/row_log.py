"""``RowLog``: the rows of a run, one for each point of the x axis, written once the axis moves on."""

import sys
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, Literal

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.multi_writer import MultiWriter
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.open_row import OpenRow
from puffer_callbacks.recorder.row_axis import RowAxis
from puffer_callbacks.recorder.training_time import TrainingTime
from puffer_callbacks.values import Value

_MAX_MERGED_STEPS = 1000
"""Optimizer steps that one row may span: where environment steps stand still, rows are still written in time."""


class RowLog:
    """Keeps the row at the present x until the axis moves on, then writes it.

    So a series has one point for each x and its steps strictly rise, also where 64 updates share one count of
    environment steps.

    Args:
        backends: where rows go.
        x_axis: the axis; ``"auto"`` is environment steps from the first one on, and optimizer steps before that.
        stopwatch: the cost of recording, for ``logging/overhead_pct``.
    """

    def __init__(self, backends: MultiWriter, *, x_axis: Literal["auto"] | XAxis, stopwatch: Stopwatch) -> None:
        self.backends = backends
        self.on_hold = False
        """Whether rows wait for ``start``: a checkpoint may still fail to load, and must not cost an earlier run."""
        self._axis = RowAxis(x_axis, backends.faults)
        self._stopwatch = stopwatch
        self.row = OpenRow()
        self._axes: Axes | None = None
        self.open_at, self.counts_env_steps = sys.maxsize, False
        """The x of the open row, and whether it counts environment steps."""
        self._opened_at = self._started_at = 0
        self._last: int | None = None
        self._resume_after: int | None = None
        self._time = TrainingTime()
        self._latest: dict[str, float] = {}
        self._buffer: list[tuple[Mapping[str, Value], Axes]] = []

    def start(self, axes: Axes, *, elapsed: float = 0.0, ended_at: Axes | None = None) -> None:
        """Begin to train, after ``elapsed`` seconds before a resume, or after an earlier fit up to ``ended_at``."""
        before = 0.0 if self._axes is None else self.elapsed(self._axes)
        if self._resume_after is None and ended_at and self.x(axes) < self.x(ended_at):  # a count that begins anew
            self._last = None
        self._started_at = max(self.x(axes), self._last or 0)
        self._time.start(self._axis.after(self._last, axes), elapsed=elapsed)
        if self._axes is not None:  # a checkpoint's row keeps its seconds of training
            self._set_open_row(self._time.at(self._axes, elapsed=before))
        self.on_hold = False
        if self._resume_after is not None:
            self._open(axes)

    def elapsed(self, axes: Axes) -> float:
        """Seconds of training, those before a resume included."""
        return self._time.elapsed(axes)

    def hold(self, *, elapsed: float, last_step: int | None = None) -> None:
        """Let rows wait for ``start``, at so many seconds of training and after the last row of an earlier fit."""
        self.on_hold, self._last = True, last_step
        self._time.pause_at(elapsed)

    def record(
        self, values: Mapping[str, Value], axes: Axes, *, count: int | None = None, own_point: bool = False
    ) -> None:
        """Add values at ``axes``, after writing an earlier row.

        Args:
            values: tag to value.
            axes: where they stand.
            count: over how many steps the values are means, if they are.
            own_point: never replace a value: write the open row first if it has one of the tags.
        """
        self._follow_env_steps(axes)
        if own_point and values.keys() & self.row.values.keys():
            self.commit()
        axes = self.point(axes)
        if self._axes is not None and self.x(axes) > self.x(self._axes):
            self.commit()
        self.row.record(values, count=count)
        self._set_open_row(max(axes, self._axes or axes, key=lambda each: each.optimizer_steps))

    def point(self, axes: Axes) -> Axes:
        """Where values at these axes stand: in the open row, or after the rows that are written."""
        return self._axis.after(self._last if self._axes is None else self.open_at - 1, axes)

    @property
    def latest(self) -> dict[str, float]:
        """The last number of each tag."""
        return self._latest | self.row.numbers

    def advance(self, counters: Counters) -> None:
        """Write the open row if the x axis has moved on, or if it spans very many optimizer steps."""
        if self._buffer and not self.on_hold:
            self._open(counters.axes())
        moved_on = self.position(counters) > self.open_at
        if moved_on or (self._axes and counters.optimizer_steps - self._opened_at >= _MAX_MERGED_STEPS):
            self.commit()

    def position(self, counters: Counters) -> int:
        """The present x, on the axis of the open row."""
        return (counters.env_steps or 0) if self.counts_env_steps else counters.optimizer_steps

    def commit(self) -> None:
        """Write the open row."""
        if self._axes is None:
            return
        self._latest.update(self.row.numbers)
        axes, values = self._axes, self.row.pop()
        self._set_open_row(None)
        cost = {"logging/overhead_pct": 100 * self._stopwatch.overhead(self.backends.busy)}
        self.write(values | self._time.as_scalars(axes) | cost, axes)
        self._last = self.x(axes)

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write values at once, outside the rows; before the first step, as soon as the x axis is known."""
        axes = axes.by_system_clock()
        undecided = self._axis.chosen is None and self._axis.wanted == "auto" and not axes.env_steps
        if self.on_hold or (undecided and axes.optimizer_steps == 0):  # the first rollout may bring environment steps
            self._buffer.append((values, axes))
        else:
            self._open(axes)
            self.backends.write(values, axes)

    def close(self) -> None:
        """Write the last row and close the backends. A run that never started leaves nothing."""
        if self.on_hold:
            self._buffer = []
        else:
            self.commit()
        for _, axes in self._buffer[:1]:
            self._open(axes)
        self.backends.close()

    def state_dict(self) -> dict[str, Any]:
        """The last written x and the open row, for a checkpoint."""
        return {
            "last_step": self._last,
            "x_axis": self._axis.state(),
            "row": self.row.state_dict(),
            "axes": None if self._axes is None else [*astuple(self._axes)[:2], self.elapsed(self._axes)],
            "opened_at": self._opened_at,
            "latest": dict(self._latest),
            "time": self._time.state_dict(),
            "backends": self.backends.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], *, elapsed: float) -> None:
        """Continue after a checkpoint: its open row is open again. The backends resume with ``start``.

        Args:
            state: of ``state_dict``.
            elapsed: seconds of training until the checkpoint.
        """
        self._last = self._resume_after = state["last_step"] if state["last_step"] is not None else -1
        self._axis.resumed = state["x_axis"]
        self._time.pause_at(elapsed)
        self._time.load_state_dict(state.get("time", {"throughput": None}))
        self.row.load_state_dict(state["row"])
        if self.row:
            env_steps, optimizer_steps, recorded_at = state["axes"]
            axes = Axes(env_steps, optimizer_steps, 0.0)
            self._set_open_row(self._time.at(axes, elapsed=min(recorded_at, elapsed)))
            self._opened_at = state.get("opened_at", optimizer_steps)
        self._latest = dict(state.get("latest", {}))
        self.backends.load_state_dict(state["backends"])

    def _open(self, axes: Axes) -> None:
        if self._axis.chosen is None:
            axis = self.backends.x_axis = self._axis.of(axes)
            self._axis.choose(axis)
            if self._resume_after is None:
                self.backends.begin(self._started_at)
            else:
                self.backends.resume(self._resume_after)
            buffered, self._buffer = self._buffer, []
            for values, then in buffered:
                self.backends.write(values, then)
            self._set_open_row(self._axes)

    def _set_open_row(self, axes: Axes | None) -> None:
        if self._axes is None and axes is not None:
            self._opened_at = axes.optimizer_steps
        self._axes, self.open_at = axes, sys.maxsize
        if axes is not None:
            self.open_at = self.x(axes)
            self.counts_env_steps = self._axis.of(axes) == "env_steps" and axes.env_steps is not None

    def _follow_env_steps(self, axes: Axes) -> None:
        """Change to environment steps where they begin after the first rows, as in a loop that updates first."""
        if self._axis.wanted != "auto" or self._axis.chosen == "env_steps" or not axes.env_steps:
            return
        if self._axis.chosen is None and self._axis.resumed is None and not self.counts_env_steps:
            self.commit()
        if self._axis.chosen != "optimizer_steps":
            return
        if axes.env_steps > max(self._last or 0, self.open_at if self._axes else 0):
            self.commit()
            self._axis.choose("env_steps")
            self.backends.x_axis = "env_steps"
        else:
            expected = "expected environment steps from the first rows on, or more of them than optimizer steps"
            reason = f"{expected}; the x axis stays optimizer_steps. Recorder(x_axis=…) chooses one"
            self.backends.faults.report("x axis", reason)

    def x(self, axes: Axes) -> int:
        """The point of the x axis."""
        return self._axis.x(axes)
