"""Named series and the few robust statistics that rules need of them."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LARGEST = 1e150
"""Squares of larger numbers, and sums of them, overflow float64."""


class Series(NamedTuple):
    """A scalar over a run.

    Args:
        steps: [n] int64, ascending.
        values: [n] float64.
    """

    steps: npt.NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, steps: npt.ArrayLike, values: npt.ArrayLike, *, tag: str) -> "Series":
        """Points in the order of their steps.

        Args:
            steps: [n], in any order.
            values: [n].
            tag: for the error's text.

        Raises:
            ValueError: if there are not as many values as steps.
        """
        series = cls(np.asarray(steps, np.int64), np.asarray(values, np.float64))
        if series.steps.shape != series.values.shape or series.steps.ndim != 1:
            raise ValueError(
                f"{tag}: expected one value for each step, got shapes {series.steps.shape} and {series.values.shape}"
            )
        if (np.diff(series.steps) >= 0).all():
            return series
        order = np.argsort(series.steps, kind="stable")
        return cls(series.steps[order], series.values[order])

    @property
    def span(self) -> tuple[int, int]:
        """The first and the last step."""
        return int(self.steps[0]), int(self.steps[-1])

    def span_since(self, condition: npt.NDArray[np.bool_]) -> tuple[int, int]:
        """The step of the first point at which a condition holds, and the last step."""
        return int(self.steps[np.argmax(condition)]), int(self.steps[-1])

    def finite(self) -> "Series":
        """The points whose value is finite, held to ±1e150: the square of a larger one is not."""
        if np.abs(self.values).max(initial=0.0) <= LARGEST:
            return self
        finite = self.where(np.isfinite(self.values))
        return Series(finite.steps, np.clip(finite.values, -LARGEST, LARGEST))

    def where(self, condition: npt.NDArray[np.bool_]) -> "Series":
        """The points [n] at which a condition holds."""
        return Series(self.steps[condition], self.values[condition])

    def after(self, step: float) -> "Series":
        """The points from a step on."""
        return self.where(self.steps >= step)

    def before(self, step: float) -> "Series":
        """The points before a step."""
        return self.where(self.steps < step)

    def between(self, first: float, last: float) -> "Series":
        """The points from a step to another, both included."""
        return self.where((self.steps >= first) & (self.steps <= last))

    def smoothed(self, width: int = 5) -> "Series":
        """Every value replaced by the median of itself and those before it, ``width`` in all.

        Example:
            >>> Series(np.arange(4), np.array([1.0, 9.0, 1.0, 1.0])).smoothed(3).values.tolist()
            [1.0, 5.0, 1.0, 1.0]
        """
        values = self.values
        first = [median(values[:end]) for end in range(1, min(width, len(values) + 1))]
        if len(values) < width:
            return Series(self.steps, np.array(first))
        middle = np.median(np.lib.stride_tricks.sliding_window_view(values, width), axis=-1)
        return Series(self.steps, np.concatenate([first, middle]))

    def spell(self, condition: npt.NDArray[np.bool_], *, points: int, share: float = 0.0) -> "Series | None":
        """The longest stretch over which a condition held, the first of several.

        Args:
            condition: [n], of each point.
            points: fewer of them are no spell.
            share: of all points that the stretch has to make up.

        Example:
            >>> series = Series(np.arange(4), np.array([5.0, 0.0, 6.0, 7.0]))
            >>> series.spell(series.values > 0, points=2).steps.tolist()
            [2, 3]
            >>> series.spell(series.values > 0, points=3)
        """
        edges = np.diff(np.concatenate([[False], condition, [False]]).astype(np.int8))
        begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        if not len(begins):
            return None
        at = int(np.argmax(ends - begins))
        first, end = int(begins[at]), int(ends[at])
        if end - first < max(points, share * len(condition)):
            return None
        return Series(self.steps[first:end], self.values[first:end])

    def ending(self, condition: npt.NDArray[np.bool_]) -> "Series":
        """The stretch over which a condition has held up to the last point; empty where it does not hold there.

        Example:
            >>> series = Series(np.arange(4), np.array([0.0, 5.0, 0.0, 0.0]))
            >>> series.ending(series.values == 0).steps.tolist()
            [2, 3]
        """
        first = len(condition) - int(np.argmin(condition[::-1])) if not condition.all() else 0
        return Series(self.steps[first:], self.values[first:])

    def at(self, steps: npt.NDArray[np.int64]) -> Floats:
        """The latest value at or before each of other steps; NaN before the first."""
        found = np.searchsorted(self.steps, steps, side="right") - 1
        values: Floats = np.where(found >= 0, self.values[np.maximum(found, 0)], np.nan)
        return values


def median(values: Floats) -> float:
    """The median of finite values, several times as fast for short series as NumPy's.

    Example:
        >>> median(np.array([3.0, 1.0, 2.0, 10.0]))
        2.5
    """
    ordered, middle = np.sort(values), len(values) // 2
    return float(ordered[middle]) if len(values) % 2 else float(ordered[middle - 1] + ordered[middle]) / 2


def rank_correlation(values: Floats) -> float:
    """Spearman's rank correlation of values with their order: 1 for a rise, −1 for a fall, 0 for neither."""
    if len(values) < 3 or np.ptp(values) == 0:
        return 0.0
    ranks = np.argsort(np.argsort(values)).astype(np.float64)
    return float(np.corrcoef(ranks, np.arange(len(values)))[0, 1])
