"""The journal of a run: rows in the order of the x axis, each written once."""

import sys
from collections.abc import Mapping
from dataclasses import astuple, replace
from typing import Any, Literal

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.multi_writer import Backends
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.open_row import Row
from puffer_callbacks.values import Value


class RowLog:
    """Keeps the row at the present x until the axis moves on, then writes it.

    So a series has one point for each x and its steps strictly rise, also where 64 updates share one count of
    environment steps.

    Args:
        backends: where rows go.
        x_axis: the axis, or ``"auto"``, settled with the first row.
        stopwatch: what recording costs, for ``logging/overhead_pct``.
    """

    def __init__(self, backends: Backends, *, x_axis: Literal["auto"] | XAxis, stopwatch: Stopwatch) -> None:
        self.backends = backends
        self._wanted = x_axis
        self._x_axis: XAxis | None = None
        self._stopwatch = stopwatch
        self._row = Row()
        self._axes: Axes | None = None
        self.open_at, self.is_by_env = sys.maxsize, False
        """Where the open row is, and on which axis: ``advance`` has something to do where that has moved on."""
        self._last: int | None = None
        self._mark: tuple[int, float] | None = None
        self._latest: dict[str, float] = {}
        self._early: list[tuple[Mapping[str, Value], Axes]] = []

    def put(self, values: Mapping[str, Value], axes: Axes, *, count: int | None = None) -> None:
        """Add values at ``axes``; a row that lies behind is written first."""
        axes = self._forward(axes)
        if self._axes is not None and self._step(axes) > self._step(self._axes):
            self.commit()
        self._row.put(values, count=count)
        self._stand_at(axes)

    @property
    def latest(self) -> dict[str, float]:
        """The last number of each tag."""
        return self._latest | _numbers(self._row.values)

    def advance(self, counters: Counters) -> None:
        """Write the row where the x axis has moved on since."""
        if self._early:
            self._open(counters.axes())
        if self.position(counters) > self.open_at:
            self.commit()

    def position(self, counters: Counters) -> int:
        """Where the run is, on the axis of the open row."""
        return (counters.env_steps or 0) if self.is_by_env else counters.optimizer_steps

    def start(self, axes: Axes) -> None:
        """Steps per second count from here."""
        self._mark = (self._progress(axes), axes.wall_time)

    def commit(self) -> None:
        """Write the row now."""
        if self._axes is None:
            return
        axes = self._axes
        self._stand_at(None)
        values = self._row.take()
        self._latest.update(_numbers(values))
        self.write(values | axes.as_scalars() | self._pace(axes), axes)
        self._last = self._step(axes)

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write values at once, outside the rows; while the x axis is open, as soon as it is settled."""
        undecided = self._x_axis is None and self._wanted == "auto" and axes.env_steps is None
        if undecided and axes.optimizer_steps == 0:  # the first rollout may bring environment steps
            self._early.append((values, axes))
            self.open_at = -1  # the next step settles it
        else:
            self._open(axes)
            self.backends.write(values, axes)

    def flush(self) -> None:
        """Have the backends flush what they have."""
        self.backends.flush()

    def close(self) -> None:
        """Write the last row and close the backends."""
        self.commit()
        for _, axes in self._early[:1]:
            self._open(axes)
        self.backends.close()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: the last written step and the row that is still open."""
        state = {"last_step": self._last, "row": self._row.state_dict(), "x_axis": self._x_axis}
        axes = None if self._axes is None else astuple(self._axes)
        return state | {"axes": axes, "backends": self.backends.state_dict()}

    def load_state_dict(self, state: dict[str, Any], axes: Axes) -> None:
        """Continue after a checkpoint: its open row is open again."""
        self._last = state["last_step"] if state["last_step"] is not None else -1
        self._wanted = state["x_axis"] or self._wanted
        self._row.load_state_dict(state["row"])
        self._stand_at(Axes(*state["axes"]) if self._row else None)
        self.backends.load_state_dict(state["backends"])
        self._open(axes)

    def _open(self, axes: Axes) -> None:
        if self._x_axis is None:
            self._x_axis = self._axis(axes)
            first = self._early[0][1] if self._early else axes
            self.backends.open(self._x_axis, first_step=self._step(first), resume_after=self._last)
            early, self._early = self._early, []
            for values, then in early:
                self.backends.write(values, then)
            self._stand_at(self._axes)

    def _stand_at(self, axes: Axes | None) -> None:
        """Where the open row is."""
        self._axes, self.open_at = axes, sys.maxsize
        if axes is not None:
            self.open_at = self._step(axes)
            self.is_by_env = self._axis(axes) == "env_steps" and axes.env_steps is not None

    def _axis(self, axes: Axes) -> XAxis:
        if self._x_axis is not None:
            return self._x_axis
        if self._wanted != "auto":
            return self._wanted
        return "optimizer_steps" if axes.env_steps is None else "env_steps"

    def _step(self, axes: Axes) -> int:
        steps = axes.env_steps if self._axis(axes) == "env_steps" else axes.optimizer_steps
        return axes.optimizer_steps if steps is None else steps

    def _forward(self, axes: Axes) -> Axes:
        """The axes, or where the counter went back the next point without a row: steps strictly rise."""
        before = self._last if self._axes is None else self._step(self._axes) - 1
        if before is None or self._step(axes) > before:
            return axes
        axis, last = self._axis(axes), before if self._axes is None else before + 1
        reason = f"expected a count that only grows, got {self._step(axes)} after {last}; its rows follow on"
        self.backends.faults.report(axis, reason)
        return replace(axes, **{axis: before + 1})

    @staticmethod
    def _progress(axes: Axes) -> int:
        return axes.optimizer_steps if axes.env_steps is None else axes.env_steps

    def _pace(self, axes: Axes) -> dict[str, float]:
        """Steps per second since the last row that moved on, and the cost of recording so far."""
        pace = {"logging/overhead_pct": 100 * self._stopwatch.overhead(self.backends.busy)}
        then, progress = self._mark, self._progress(axes)
        if then is not None and progress > then[0] and axes.wall_time > then[1]:
            pace["throughput/sps"] = (progress - then[0]) / (axes.wall_time - then[1])
            self._mark = (progress, axes.wall_time)
        return pace


def _numbers(values: Mapping[str, Value]) -> dict[str, float]:
    return {tag: value for tag, value in values.items() if isinstance(value, float)}
