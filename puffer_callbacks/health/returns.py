"""Whether a run learns: the second signal wherever a symptom is also what success looks like."""

from typing import NamedTuple

import numpy as np

from puffer_callbacks.health.series import Floats, Series, median

_RISE = 0.02
"""Of the return's size: less is no rise."""


class Returns(NamedTuple):
    """How the return of a run moved.

    Args:
        series: smoothed over five points.
        early: its level in the first tenth; its first value where it rose and settled within that.
        late: its level in the last quarter.
        best: the best smoothed value.
        noise: the spread of single points about the smoothed ones, as a standard deviation.
    """

    series: Series
    early: float
    late: float
    best: float
    noise: float

    @property
    def improved(self) -> bool:
        """Whether the run ends better than it began, beyond its noise."""
        return self.late - self.early > 2 * self.noise

    @property
    def worsened(self) -> bool:
        """Whether it ends worse than it began, beyond its noise."""
        return self.early - self.late > 2 * self.noise

    @property
    def are_alike(self) -> bool:
        """Whether it has been the same all along."""
        return bool(np.ptp(self.series.values) <= 1e-9 * np.abs(self.series.values).max())

    @property
    def fell(self) -> bool:
        """Whether it lost more than half of what it had won, and came nowhere near it again in the last quarter."""
        values = self.series.values
        won, best_of_late = self.best - self.early, float(values[-max(3, len(values) // 4) :].max())
        lost = self.best - self.late > max(0.5 * won, 3 * self.noise)
        return won > 4 * self.noise and lost and self.best - best_of_late > 0.25 * won

    @property
    def healthy(self) -> bool:
        """Whether it improved and kept that."""
        return self.improved and not self.fell

    def flat_after(self, step: float) -> bool:
        """Whether it has not risen since a step, beyond its noise."""
        values = self.series.after(step).values
        if len(values) < 4:
            return not self.improved
        quarter = max(2, len(values) // 4)
        return median(values[-quarter:]) - median(values[:quarter]) <= 2 * self.noise


def returns_of(series: Series) -> Returns:
    """The movement of a series of returns.

    Args:
        series: at least one point, all of them finite.
    """
    values, count = series.values, len(series.values)
    smoothed = series.smoothed()
    residuals = values - smoothed.values
    noise = 1.4826 * median(np.abs(residuals - median(residuals)))
    late = median(values[-max(3, count // 4) :])
    return Returns(smoothed, _early(values, late), late, float(smoothed.values.max()), noise)


def _early(values: Floats, late: float) -> float:
    """The level at the beginning.

    A run that is solved within the first tenth begins far below the level that all but a few later values keep.
    """
    tenth = max(3, len(values) // 10)
    first, lowest = float(values[0]), float(np.quantile(values[tenth:], 0.05)) if len(values) > tenth else late
    rise = late - first
    rose_at_once = rise > 3 * (late - lowest) and rise > _RISE * max(abs(late), abs(first))
    return first if rose_at_once and len(values) > 2 * tenth else median(values[:tenth])
