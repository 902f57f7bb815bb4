"""Whether a run learns: the second signal wherever a symptom is also what success looks like."""

from typing import NamedTuple

import numpy as np

from puffer_callbacks.health.series import Floats, Series, median

_RISE = 0.02
"""Of the return's size: less is neither a rise nor a fall."""
_BY_FAR, _SHARE = 10, 0.1
"""Times its noise, and the part of its size, of a rise by far: where most returns are alike there is no noise."""
_HALF = 0.5
_STRETCHES, _UNEVEN = 50, 0.5
"""Stretches of a run; and the spread of the gaps between evenly spaced points, over their mean, at most."""
_WIDTH = 5
"""Points of which each smoothed value is the median; the first few of them are those of fewer."""
_MIDDLE = 0.05
"""Of the distance between the lowest and the highest return: how far the mean of a game strays from their middle."""
_LAG = 0.1
"""The share of the points over which changes show how far a return wanders."""


class Returns(NamedTuple):
    """How the return of a run moved.

    Args:
        series: smoothed over five points.
        early: its level in the first tenth; its first value where it rose and settled within that.
        late: its level in the last quarter.
        best: the best smoothed value, of five points.
        noise: the spread of single points about the smoothed ones, as a standard deviation.
        are_alike: whether it has been the same all along, but for the first episodes.
    """

    series: Series
    early: float
    late: float
    best: float
    noise: float
    are_alike: bool

    @property
    def improved(self) -> bool:
        """Whether the run ends better than it began, beyond its noise."""
        return self.late - self.early > 2 * self.noise

    @property
    def may_have_risen(self) -> bool:
        """Whether its levels have risen by more than their errors, or these would hide a rise by half of its size."""
        count, rise = len(self.series.values), self.late - self.early
        error = 1.25 * self.noise * (1 / max(3, count // 10) + 1 / max(3, count // 4)) ** 0.5  # of medians
        return bool(rise > 2 * error > 0 or rise + 2 * error > _HALF * max(abs(self.early), abs(self.late)))

    @property
    def are_rare(self) -> bool:
        """Whether most are alike and a few are not: how often these come is not known of so few."""
        return self.noise == 0 and not self.are_alike

    @property
    def rises_at_last(self) -> bool:
        """Whether it ends at its best, by half of its size above its beginning: it has just begun to learn."""
        last = float(self.series.values[-1])
        return last >= self.best and last - self.early > max(4 * self.noise, _HALF * abs(self.early))

    @property
    def worsened(self) -> bool:
        """Whether it ends worse than it began, beyond its noise, its wandering and a small part of its size."""
        least = _RISE * max(abs(self.early), abs(self.late))
        return self.early - self.late > max(2 * self.noise, 3 * _wandering(self.series.values), least)

    @property
    def fell(self) -> bool:
        """Whether it lost more than half of what it had won, and came nowhere near it again in the last quarter."""
        values = self.series.values
        won, best_of_late = self.best - self.early, float(values[-max(3, len(values) // 4) :].max())
        lost = self.best - self.late > max(0.5 * won, 3 * self.noise)
        return won > max(4 * self.noise, 2 * _wandering(values)) and lost and self.best - best_of_late > 0.25 * won

    @property
    def healthy(self) -> bool:
        """Whether it improved and kept that."""
        return self.improved and not self.fell

    @property
    def rose_by_far(self) -> bool:
        """Whether it rose and kept that, by more than it could with a policy that is not trained right."""
        least = max(_BY_FAR * self.noise, _SHARE * max(abs(self.early), abs(self.late)))
        return self.healthy and self.late - self.early > least

    def are_those_of_a_game(self, lowest: float | None, highest: float | None) -> bool:
        """Whether episodes win what others lose, as in a game between equals: their mean stays, however good they are.

        Args:
            lowest: the return of a rollout's worst episode, if it is known.
            highest: that of the best.
        """
        if lowest is None or highest is None or lowest >= highest:
            return False
        middle, limit = (lowest + highest) / 2, _MIDDLE * (highest - lowest)
        is_zero_sum = max(abs(middle), abs(median(self.series.values))) < limit
        may_stray = is_zero_sum and not (self.improved or self.worsened)  # as the mean of a few games does
        from_middle = np.abs(self.series.values - middle).max()
        return self.are_alike or bool(from_middle < limit + 2 * self.noise * may_stray)

    def come_sooner_or_later(self, lengths: Series) -> bool:
        """Whether all have one return, and episodes become longer or shorter: what is learned is when it comes.

        Args:
            lengths: of the episodes.
        """
        moves = (returns_of(Series(lengths.steps, sign * lengths.values)).improved for sign in (1, -1))
        return self.are_alike and self.late != 0 and any(moves)

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
    series = _over_equal_steps(series)
    values, count = series.values, len(series.values)
    smoothed = series.smoothed(_WIDTH)
    late = median(values[-max(3, count // 4) :])
    return Returns(
        smoothed,
        early=_early(values, late),
        late=late,
        best=float(smoothed.values[min(_WIDTH, count) - 1 :].max()),
        noise=_spread(values - smoothed.values),
        are_alike=bool(np.ptp(values[int(count > 2) :]) <= 1e-9 * np.abs(values).max()),
    )


def _over_equal_steps(series: Series) -> Series:
    """Means over equal stretches of the run, of many points of single episodes: unevenly spaced, or wins and losses.

    A quarter of the episodes need not be a quarter of the run: bad ones may be short. And the middle one of wins and
    losses shows no share of wins. Points that stand at few steps, as in a log whose step does not count, stay.
    """
    gaps = np.diff(series.steps)
    is_even = len(gaps) < _STRETCHES or gaps.std() < _UNEVEN * gaps.mean()
    if is_even and (len(gaps) < _STRETCHES or _spread(series.values) > 0):
        return series
    first, last = series.span
    ends = np.linspace(first, last, _STRETCHES + 1)[1:]
    stretch = np.searchsorted(ends, series.steps)
    filled, counts = np.unique(stretch, return_counts=True)
    if len(filled) < _STRETCHES / 2:
        return series
    sums = np.bincount(stretch, weights=series.values)
    return Series(ends[filled].astype(np.int64), sums[filled] / counts)


def _wandering(values: Floats) -> float:
    """What levels differ by without a trend, as a standard deviation: means over a window of episodes go up and down.

    It is the spread of changes over a lag; where that still grows with the lag, levels further apart differ by more.
    """
    lag = max(2, int(_LAG * len(values)))
    shorter, spread = (_spread(values[by:] - values[:-by]) / 2**0.5 for by in (lag // 2, lag))
    grows = spread > 0 and shorter > 0
    return spread * float(np.clip(spread / shorter, 1, 2**0.5)) ** 2 if grows else spread


def _spread(values: Floats) -> float:
    """The standard deviation of most values, by their median deviation."""
    return 1.4826 * median(np.abs(values - median(values)))


def _early(values: Floats, late: float) -> float:
    """The level at the beginning.

    A run that is solved within the first tenth begins far below the level that all but a few later values keep.
    """
    tenth = max(3, len(values) // 10)
    first, lowest = float(values[0]), float(np.quantile(values[tenth:], 0.05)) if len(values) > tenth else late
    rise = late - first
    rose_at_once = rise > 3 * (late - lowest) and rise > _RISE * max(abs(late), abs(first))
    return first if rose_at_once and len(values) > 2 * tenth else median(values[:tenth])
