"""``TrainingTime``: the clock of a run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from puffer_callbacks.axes import Axes, now


class TrainingTime:
    """Seconds of training, those before a resume included, and steps per second between rows.

    The clock is paused while nothing trains, as between a checkpoint and the start that continues it.

    Example:
        >>> clock = TrainingTime()
        >>> clock.start(Axes(0, 0, wall_time=1000.0), elapsed=60.0)
        >>> clock.as_scalars(Axes(2048, 32, wall_time=1002.0))
        {'time/env_steps': 2048.0, 'time/optimizer_steps': 32.0, 'time/elapsed': 62.0, 'throughput/sps': 1024.0}
    """

    def __init__(self) -> None:
        self._started_at = self._paused_at = 0.0
        self._is_running = False
        self._last: tuple[int, float] | None = None
        """The steps and the seconds of training from which the throughput is measured."""

    def pause_at(self, elapsed: float) -> None:
        """Pause at so many seconds of training until the start."""
        self._is_running, self._paused_at, self._started_at = False, elapsed, now() - elapsed

    def start(self, axes: Axes, *, elapsed: float) -> None:
        """Begin to train, after ``elapsed`` seconds of training."""
        self._is_running, self._started_at = True, axes.wall_time - elapsed
        if self._last is None:  # else a checkpoint's
            self._last = (_steps(axes), elapsed)

    def elapsed(self, axes: Axes) -> float:
        """Seconds of training until this point."""
        elapsed = axes.wall_time - self._started_at
        return elapsed if self._is_running else min(elapsed, self._paused_at)

    def at(self, axes: Axes, *, elapsed: float) -> Axes:
        """These axes, at so many seconds of training."""
        return replace(axes, wall_time=self._started_at + elapsed)

    def as_scalars(self, axes: Axes) -> dict[str, float]:
        """The axes as values with their tags, and the throughput since the last call."""
        elapsed = self.elapsed(axes)
        return axes.as_scalars(elapsed=elapsed) | self._throughput(_steps(axes), elapsed)

    def state_dict(self) -> dict[str, Any]:
        """Where the throughput is measured from, for a checkpoint."""
        return {"throughput": self._last}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's last row."""
        self._last = state["throughput"]

    def _throughput(self, steps: int, elapsed: float) -> dict[str, float]:
        """Steps per second since the last row at which there were fewer; nothing where there are no more since."""
        if self._last is None or not (steps > self._last[0] and elapsed > self._last[1]):
            return {}
        rate = (steps - self._last[0]) / (elapsed - self._last[1])
        self._last = (steps, elapsed)
        return {"throughput/sps": rate}


def _steps(axes: Axes) -> int:
    """Environment steps, or optimizer steps for a run without an environment."""
    return axes.optimizer_steps if axes.env_steps is None else axes.env_steps
