"""Tables of counts by place, and the histograms they hold.

The place of a float is its top bits (sign, exponent, three bits of the mantissa), in the order of the values:
the negative ones first, the largest of them foremost; zero and the denormals in the middle.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.histogram.histogram import Histogram

Totals = tuple[float, float, float, float]
"""Minimum, maximum, sum and sum of squares."""

_TINY = 8
"""How many patterns of top bits, sign aside, zero and the denormals have."""


def by_place(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts by top bits as they are, [T, places], put in the order of the values.

    Example:
        >>> by_place(np.array([[10, 11, 20, 21]]))  # of which the last two are negative
        array([[21, 20, 10, 11]])
    """
    half = table.shape[1] // 2
    return np.concatenate([table[:, : half - 1 : -1], table[:, :half]], axis=1)


def merge_zeros(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Add the negative zeros of a table by place, [T, places], to the positive ones.

    Returns:
        int64 [T], how many values have the top bits of zero or of a denormal.
    """
    half = table.shape[1] // 2
    tiny: NDArray[np.int64] = table[:, half - _TINY : half + _TINY].sum(axis=1)
    if tiny.any():
        table[:, half] += table[:, half - 1]
        table[:, half - 1] = 0
    return tiny


def histograms(
    table: NDArray[np.int64], totals: Sequence[Totals | None], *, first_bin: int, nonfinite: Sequence[int] | None = None
) -> list[Histogram | None]:
    """The histograms of the rows of a table by place, [T, places], whose zeros are merged.

    Args:
        table: the counts.
        totals: of each row; ``None`` where its counts are not to be trusted, which gives no histogram.
        first_bin: what to add to the top bits of a positive number for its bin.
        nonfinite: how many values beside are not finite, none where ``None``.
    """
    counts = table.reshape(-1)
    cells = (counts != 0).nonzero()[0]
    counts, bins = counts[cells], _bins(table.shape[1], first_bin)[cells & (table.shape[1] - 1)]
    counts.flags.writeable = bins.flags.writeable = False
    cuts = cells.searchsorted(_starts(*table.shape)).tolist()
    return [
        histogram(bins[start:end], counts[start:end], beside, line) if line else None
        for line, start, end, beside in zip(totals, cuts, cuts[1:], nonfinite or [0] * len(totals), strict=False)
    ]


def histogram(bins: NDArray[np.int32], counts: NDArray[np.int64], nonfinite: int, totals: Totals) -> Histogram:
    """A histogram of arrays that are known to fit, at a third of the price; a negative zero shows as zero."""
    low, high, total, squares = totals
    made = object.__new__(Histogram)
    held: dict[str, object] = {"bins": bins, "bin_counts": counts, "nonfinite": nonfinite}
    held.update({"min": low + 0.0, "max": high + 0.0, "sum": total + 0.0, "sum_squares": squares})
    object.__setattr__(made, "__dict__", held)
    return made


@lru_cache(maxsize=8)
def _starts(rows: int, places: int) -> NDArray[np.int64]:
    return np.arange(0, rows * places + 1, places)


@cache
def _bins(places: int, first_bin: int) -> NDArray[np.int32]:
    """The bin of each place."""
    magnitudes = np.arange(places // 2, dtype=np.int32) + first_bin
    magnitudes[0] = 0  # zeros; denormals have no histogram by place
    return np.concatenate([-magnitudes[::-1], magnitudes])
