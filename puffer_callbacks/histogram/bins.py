"""The bins of every histogram: eight to the octave over all of float64, and one for zero.

A bin is a signed integer, in the order of the values in it:

* 0 holds exact zeros,
* ``k = 1 + 8 * (e + 1074) + m`` holds ``[2**e * (1 + m / 8), 2**e * (1 + (m + 1) / 8))``, for ``0 <= m < 8``,
* ``-k`` holds the negatives of the values in ``k``.

So a bin is at most an eighth as wide as the values in it are large. The bins do not depend on the data, so histograms
merge by adding counts. The top bits of a normal float give its bin.
"""

from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Count = TypeVar("Count", np.int64, np.float64)

PER_OCTAVE = 8
"""Bins in an octave: the top three bits of the mantissa."""

LOWEST_EXPONENT = -1074
"""The exponent of the smallest float64 above zero."""

LAST_BIN = PER_OCTAVE * (1024 - LOWEST_EXPONENT)
"""The bin of the largest float64."""

FIRST_BIN_OF_FLOAT32 = 1 + PER_OCTAVE * (-127 - LOWEST_EXPONENT)
"""What to add to the top bits (the exponent and three of the mantissa) of a normal float32 for its bin."""

FIRST_BIN_OF_FLOAT64 = 1 + PER_OCTAVE * (-1023 - LOWEST_EXPONENT)
"""The same for float64."""


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value.

    Args:
        values: float64 of any shape, all finite.

    Returns:
        int64 of the same shape.

    Example:
        >>> bins_of(np.array([-1.0, 0.0, 1.0, 1.125])).tolist()
        [-8593, 0, 8593, 8594]
    """
    magnitudes = np.abs(values)
    bins = (magnitudes.view(np.int64) >> 49) + FIRST_BIN_OF_FLOAT64
    bins[magnitudes == 0] = 0
    denormal = (magnitudes > 0) & (magnitudes < np.finfo(np.float64).tiny)
    if denormal.any():
        # Their bits have no exponent: scale by a power of two, which is exact, and step back as many octaves.
        bins[denormal] = bins_of(magnitudes[denormal] * 2.0**64) - 64 * PER_OCTAVE
    return np.where(values < 0, -bins, bins)


@lru_cache(maxsize=1)
def _all_edges() -> NDArray[np.float64]:
    """The smallest float64 in each bin from ``-LAST_BIN`` to ``LAST_BIN``, then infinity."""
    octaves, eighths = np.divmod(np.arange(LAST_BIN + 1), PER_OCTAVE)
    # Where float64 has no fractions left, an edge between two numbers moves up to the next.
    units = np.ceil(np.ldexp(1.0 + eighths / PER_OCTAVE, np.minimum(octaves, 10)))
    with np.errstate(over="ignore", under="ignore"):
        exact = np.ldexp(1.0 + eighths / PER_OCTAVE, octaves + LOWEST_EXPONENT)
        positive = np.where(octaves < 10, np.ldexp(units, LOWEST_EXPONENT), exact)
    # A bin -k holds (-edge(k + 1), -edge(k)]: its smallest float64 is the one just above -edge(k + 1).
    edges = np.concatenate([np.nextafter(-positive[:0:-1], np.inf), [0.0], positive]) + 0.0
    edges.flags.writeable = False
    return edges


def lower_edges(bins: NDArray[Any]) -> NDArray[np.float64]:
    """The smallest float64 in each bin.

    The largest is the one just below ``lower_edges(bins + 1)``: bins are closed on the left and open on the
    right, as NumPy's are, for negative values too.

    Args:
        bins: integers [K], from ``-LAST_BIN`` to ``LAST_BIN + 1``.

    Returns:
        float64 [K] ascending with the bins; infinite for ``LAST_BIN + 1``.

    Example:
        >>> lower_edges(np.array([0, 8593, 8594])).tolist()
        [0.0, 1.0, 1.125]
    """
    edges: NDArray[np.float64] = _all_edges()[bins + LAST_BIN]
    return edges


def dense_rows(
    bins: NDArray[Any],
    bin_counts: NDArray[Count],
    ends: NDArray[np.int64],
    lows: NDArray[np.float64],
    highs: NDArray[np.float64],
) -> tuple[NDArray[Count], NDArray[np.float64], NDArray[np.int64]]:
    """Counts and edges of the contiguous bins of several histograms, concatenated; each run of empty bins is one bin.

    Args:
        bins: integers [K], ascending within each histogram.
        bin_counts: [K], above 0.
        ends: int64 [T] ascending, where the bins of each histogram end; none is empty.
        lows: float64 [T], the left edge of each.
        highs: float64 [T], the right edge of each.

    Returns:
        For each edge the count of the bin to its left (0 for the first of a row), the edges, and where rows end.

    Example:
        >>> minima, maxima = np.array([0.0, 1.0]), np.array([0.0, 1.1])
        >>> dense_rows(np.array([0, 8593]), np.array([4, 2]), np.array([1, 2]), minima, maxima)
        (array([0, 4, 0, 2]), array([0.0e+000, 4.9e-324, 1.0e+000, 1.1e+000]), array([2, 4]))
    """
    edges = lower_edges(np.stack([bins, bins + 1], 1).reshape(-1))
    counts = np.zeros(2 * len(bins), bin_counts.dtype)
    counts[1::2] = bin_counts
    kept = np.empty(len(edges), bool)
    np.greater(edges[1:], edges[:-1], out=kept[1:])  # neighbors have no gap between them
    kept[0] = kept[2 * ends[:-1]] = True
    places = kept.nonzero()[0]
    counts, edges, ends = counts[places], edges[places], places.searchsorted(2 * ends)
    edges[0], edges[ends[:-1]] = lows[0], lows[1:]
    with np.errstate(over="ignore"):  # a value alone still needs a bin of some width
        edges[ends - 1] = np.maximum(highs, np.nextafter(edges[ends - 2], np.inf))
    return counts, edges, ends


def merge_lightest(
    counts: NDArray[np.int64], edges: NDArray[np.float64], max_bins: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """At most ``max_bins`` contiguous bins: the neighbors with the lowest counts are merged, one pair at a time.

    Args:
        counts: int64 [B].
        edges: float64 [B+1].
        max_bins: at least 1.

    Example:
        >>> merge_lightest(np.array([9, 1, 2, 9]), np.arange(5.0), 3)
        (array([9, 3, 9]), array([0., 1., 3., 4.]))
    """
    while len(counts) > max_bins:
        # Empty bins merge last: they are what sets an outlier apart.
        empty = (counts[1:] == 0) | (counts[:-1] == 0)
        first = int(np.argmin(counts[1:] + counts[:-1] + empty * counts.sum()))
        both = counts[first] + counts[first + 1]
        counts, edges = np.delete(counts, first), np.delete(edges, first + 1)
        counts[first] = both
    return counts, edges
