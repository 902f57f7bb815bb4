"""The rows of many histograms at once: what costs here is the number of operations, not of bins."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from puffer_callbacks.histogram.bins import dense_rows
from puffer_callbacks.histogram.histogram import Histogram

_FLOAT = np.dtype("<f8")
_EMPTY = 0.0, np.ones(1, _FLOAT).tobytes(), np.zeros(1, _FLOAT).tobytes()


def rows_as_bytes(histograms: Sequence[Histogram]) -> Iterator[tuple[float, bytes, bytes]]:
    """What ``count``, ``edges[1:]`` and ``counts`` of each are, the arrays as float64 of the least byte first.

    Example:
        >>> import torch
        >>> ((count, edges, counts),) = rows_as_bytes([Histogram.of(torch.ones(5))])
        >>> count, np.frombuffer(counts)
        (5.0, array([5.]))
    """
    filled = [histogram for histogram in histograms if len(histogram.bins)]
    rows = _rows(filled) if filled else iter(())
    return (next(rows) if len(histogram.bins) else _EMPTY for histogram in histograms)


def _rows(histograms: Sequence[Histogram]) -> Iterator[tuple[float, bytes, bytes]]:
    sizes = np.array([len(histogram.bins) for histogram in histograms])
    bins = np.concatenate([histogram.bins for histogram in histograms])
    bin_counts = np.concatenate([histogram.bin_counts for histogram in histograms]).astype(np.float64)
    lows, highs = np.array([(histogram.min, histogram.max) for histogram in histograms]).T
    ends = sizes.cumsum()
    numbers = np.add.reduceat(bin_counts, ends - sizes).tolist()
    counts, edges, ends = dense_rows(bins, bin_counts, ends, lows, highs)
    limits, counted = edges.astype(_FLOAT).tobytes(), counts.astype(_FLOAT).tobytes()
    cuts = [(8 * start + 8, 8 * end) for start, end in pairwise([0, *ends.tolist()])]
    return ((n, limits[start:end], counted[start:end]) for n, (start, end) in zip(numbers, cuts, strict=True))
