"""Tables of counts by top bits, and what a histogram holds of each row.

Top bits are the sign, the exponent and three bits of the mantissa. A slot is the position of top bits in the order of
the values: negative numbers first, the largest of them foremost; zero and the denormals in the middle; numbers that
are not finite at both ends.
"""

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.histogram.bins import PER_OCTAVE


class Counted(NamedTuple):
    """What was counted of one tensor: the fields of a ``Histogram``. The arrays are read-only."""

    bins: NDArray[np.int32]
    bin_counts: NDArray[np.int64]
    nonfinite: int
    min: float
    max: float
    sum: float
    sum_squares: float


def by_slot(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts by top bits as they are, [T, slots], in the order of the values.

    Example:
        >>> by_slot(np.array([[10, 11, 20, 21]]))  # of which the last two are negative
        array([[21, 20, 10, 11]])
    """
    half = counts.shape[1] // 2
    return np.concatenate([counts[:, : half - 1 : -1], counts[:, :half]], axis=1)


def pop_nonfinite(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Remove what is not finite from a table by slot, [T, slots], and return how much it was, int64 [T]."""
    ends = table[:, :PER_OCTAVE], table[:, -PER_OCTAVE:]
    nonfinite: NDArray[np.int64] = ends[0].sum(axis=1) + ends[1].sum(axis=1)
    ends[0][:], ends[1][:] = 0, 0
    return nonfinite


def merge_zeros(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count zeros of both signs, and denormals, in one slot of a table by slot, [T, slots].

    Returns:
        int64 [T], how many values are zero or denormal.
    """
    half = table.shape[1] // 2
    first_octaves = table[:, half - PER_OCTAVE : half + PER_OCTAVE]
    zero_or_denormal: NDArray[np.int64] = first_octaves.sum(axis=1)
    first_octaves[:] = 0
    table[:, half] = zero_or_denormal
    return zero_or_denormal


def rows(
    table: NDArray[np.int64], first_bin: int, nonfinite: NDArray[np.int64], totals: NDArray[np.float64]
) -> Iterator[Counted]:
    """What a histogram holds of each row.

    Args:
        table: int64 [T, slots], by slot, with merged zeros.
        first_bin: what to add to the top bits of a positive number for its bin.
        nonfinite: int64 [T].
        totals: float64 [T, 4]: minimum, maximum, sum and sum of squares.
    """
    counts = table.reshape(-1)
    filled = counts.nonzero()[0]
    counts, bins = counts[filled], _bins(table.shape[1], first_bin)[filled % table.shape[1]]
    counts.flags.writeable = bins.flags.writeable = False
    cuts = filled.searchsorted(np.arange(0, table.size + 1, table.shape[1])).tolist()
    for row, (start, end) in enumerate(pairwise(cuts)):
        low, high, total, squares = (totals[row] + 0.0).tolist()  # no -0.0
        if low > high:  # there is no value
            low = high = np.nan
        yield Counted(bins[start:end], counts[start:end], int(nonfinite[row]), low, high, total, squares)


@cache
def _bins(slots: int, first_bin: int) -> NDArray[np.int32]:
    """The bin of each slot."""
    magnitudes = np.arange(slots // 2, dtype=np.int32) + np.int32(first_bin)
    magnitudes[0] = 0
    return np.concatenate([-magnitudes[::-1], magnitudes])
