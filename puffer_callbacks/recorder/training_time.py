"""Seconds of training, those before a resume included, and steps per second between rows."""

from collections.abc import Mapping
from dataclasses import replace
from time import time
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.recorder.throughput import Throughput


class TrainingTime:
    """The clock of a run: it stands while nothing trains, as between a checkpoint and the start that continues it.

    Example:
        >>> clock = TrainingTime()
        >>> clock.start(Axes(0, 0, wall_time=1000.0), elapsed=60.0)
        >>> clock.as_scalars(Axes(2048, 32, wall_time=1002.0))
        {'time/env_steps': 2048.0, 'time/optimizer_steps': 32.0, 'time/elapsed': 62.0, 'throughput/sps': 1024.0}
    """

    def __init__(self) -> None:
        self._started_at = self._stands_at = 0.0
        self._is_running = False
        self._throughput = Throughput()

    def stand_at(self, elapsed: float) -> None:
        """Stand at so many seconds of training until the start."""
        self._is_running, self._stands_at, self._started_at = False, elapsed, time() - elapsed

    def start(self, axes: Axes, *, elapsed: float) -> None:
        """Begin to train, after ``elapsed`` seconds of training."""
        self._is_running, self._started_at = True, axes.wall_time - elapsed
        if self._throughput.last is None:  # else a checkpoint's
            self._throughput.start(axes, elapsed=elapsed)

    def elapsed(self, axes: Axes) -> float:
        """Seconds of training until this point."""
        elapsed = axes.wall_time - self._started_at
        return elapsed if self._is_running else min(elapsed, self._stands_at)

    def at(self, axes: Axes, *, elapsed: float) -> Axes:
        """These axes, at so many seconds of training."""
        return replace(axes, wall_time=self._started_at + elapsed)

    def as_scalars(self, axes: Axes) -> dict[str, float]:
        """The axes as values with their tags, and the throughput since the last call."""
        elapsed = self.elapsed(axes)
        return axes.as_scalars(elapsed=elapsed) | self._throughput.since_last(axes, elapsed=elapsed)

    def state_dict(self) -> dict[str, Any]:
        """Where the throughput is measured from, for a checkpoint."""
        return {"throughput": self._throughput.last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue to measure."""
        self._throughput.last = state["throughput"]
