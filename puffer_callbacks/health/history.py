"""The series of a run in progress, bounded in memory."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.health.series import Floats
from puffer_callbacks.values.self_logged import NAMES

_GROUPS = (
    *("train", "losses", "diagnostics", "nonfinite", "rollout"),
    *("gradient_norm", "update_ratio", "old_gradients", "plasticity"),
)
_SINGLE = ("throughput/sps", "time/optimizer_steps")
_NOT_JUDGED = "rollout/info/"
MAX_POINTS = 1024


@dataclass
class _Column:
    """Points of one series: those whose number is a multiple of ``stride``, and those that are not finite."""

    count: int = 0
    stride: int = 1
    numbers: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, step: int, value: float, *, max_points: int) -> None:
        if self.steps and self.steps[-1] == step:  # a row that was judged before it was complete
            self.values[-1] = value
            return
        number, self.count = self.count, self.count + 1
        if number % self.stride and math.isfinite(value):
            return
        self.numbers.append(number)
        self.steps.append(step)
        self.values.append(value)
        if len(self.values) > max_points:
            self._thin()

    def copy(self) -> "_Column":
        return replace(self, numbers=list(self.numbers), steps=list(self.steps), values=list(self.values))

    def _thin(self) -> None:
        self.stride *= 2
        points = list(zip(self.numbers, self.steps, self.values, strict=True))
        kept = [point for point in points if point[0] % self.stride == 0 or not math.isfinite(point[2])]
        if len(kept) > len(points) // 2 + 1:  # very many are not finite
            kept = points[::2]
        self.numbers, self.steps, self.values = (list(each) for each in zip(*kept, strict=True))


class History:
    """Keeps the scalar series that rules look at, as rows are written.

    Of a series with more than ``max_points`` points only every second one is kept, then every fourth, and so on, and
    those that are not finite: it stays even over the run.

    Args:
        max_points: of one series.

    Example:
        >>> history = History()
        >>> history.log_values({"train/reward": 20.0, "mine": 1.0}, 1024)
        >>> history.series
        {'train/reward': (array([1024]), array([20.]))}
    """

    def __init__(self, *, max_points: int = MAX_POINTS) -> None:
        self._max_points = max_points
        self._columns: dict[str, _Column | None] = {}
        """By tag; ``None`` for one of no interest."""
        self.last_step = 0
        """The step of the latest row."""

    def log_values(self, values: Mapping[str, Any], step: int) -> None:
        """Add a row, or more of the last one, whose values it replaces.

        What is no number, or of no interest to a rule, is passed over.
        """
        self.last_step = max(self.last_step, step)
        for tag, value in values.items():
            if isinstance(value, float):
                if tag not in self._columns:
                    self._columns[tag] = _Column() if _is_judged(tag) else None
                if (column := self._columns[tag]) is not None:
                    column.add(step, value, max_points=self._max_points)

    @property
    def series(self) -> dict[str, tuple[NDArray[np.int64], Floats]]:
        """Tag to steps int64 [n] and values float64 [n]."""
        return self.series_under("")

    def series_under(self, prefix: str) -> dict[str, tuple[NDArray[np.int64], Floats]]:
        """As ``series``, of the tags that begin with a prefix."""
        return {
            tag: (np.array(column.steps, np.int64), np.array(column.values, np.float64))
            for tag, column in self._columns.items()
            if column is not None and tag.startswith(prefix)
        }

    def state_dict(self) -> dict[str, Any]:
        """The series, for a checkpoint."""
        columns = {tag: vars(column.copy()) for tag, column in self._columns.items() if column is not None}
        return {"last_step": self.last_step, "columns": columns}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.last_step = state["last_step"]
        self._columns = {tag: _Column(**column).copy() for tag, column in state["columns"].items()}


def _is_judged(tag: str) -> bool:
    return tag in _SINGLE or tag in NAMES or (tag.split("/", 1)[0] in _GROUPS and not tag.startswith(_NOT_JUDGED))
