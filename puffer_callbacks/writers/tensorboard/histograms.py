"""Histograms as TensorBoard stores them, all of a row at once.

They are encoded as bytes: the message's own constructor would take each number by itself, and what costs here is
the number of operations, not of bins.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from struct import Struct

import numpy as np

from puffer_callbacks.histogram.bins import dense_rows
from puffer_callbacks.values import Histogram
from puffer_callbacks.writers.tensorboard.protobuf import field

_TOTAL, _TOTALS = Struct("<Bd"), Struct("<BdBdBdBdBd")
"""Minimum, maximum, number, sum and sum of squares: the fields 1 to 5, each a key and a float64."""
_LIMITS, _COUNTS = 6, 7
_VALUE, _TAG, _HISTO = 1, 1, 5
_FLOAT = np.dtype("<f8")
_EMPTY = 0.0, np.ones(1, _FLOAT).tobytes(), np.zeros(1, _FLOAT).tobytes()
_Row = tuple[float, bytes, bytes]
"""The count of a histogram, its ``edges[1:]`` and its ``counts``, the arrays as float64 in little-endian order."""


def encode_histograms(histograms: Mapping[str, Histogram]) -> bytes:
    """A serialized ``Summary`` with a value for each histogram.

    Args:
        histograms: tag to histogram.

    Example:
        >>> from tensorboard.compat.proto.summary_pb2 import Summary
        >>> import torch
        >>> Summary.FromString(encode_histograms({"weights": Histogram.of(torch.ones(5))})).value[0].histo.bucket
        [5.0]
    """
    rows = _rows(list(histograms.values()))
    return b"".join(
        field(_VALUE, field(_TAG, tag.encode()) + field(_HISTO, _message(histogram, *row)))
        for (tag, histogram), row in zip(histograms.items(), rows, strict=True)
    )


def _message(histogram: Histogram, count: float, limits: bytes, counts: bytes) -> bytes:
    low, high = (histogram.min, histogram.max) if count else (0.0, 0.0)
    totals = low, high, count, histogram.sum, histogram.sum_squares
    if all(totals):  # as nearly always
        packed = _TOTALS.pack(9, low, 17, high, 25, count, 33, histogram.sum, 41, histogram.sum_squares)
    else:  # 0 is the default, and left out
        packed = b"".join(_TOTAL.pack(number << 3 | 1, total) for number, total in enumerate(totals, 1) if total)
    return packed + field(_LIMITS, limits) + field(_COUNTS, counts)


def _rows(histograms: Sequence[Histogram]) -> Iterator[_Row]:
    """The row of each histogram."""
    filled = [histogram for histogram in histograms if len(histogram.bins)]
    rows = _filled_rows(filled) if filled else iter(())
    return (next(rows) if len(histogram.bins) else _EMPTY for histogram in histograms)


def _filled_rows(histograms: Sequence[Histogram]) -> Iterator[_Row]:
    """The rows of histograms with values, by a few operations on the bins of all of them."""
    sizes = np.array([len(histogram.bins) for histogram in histograms])
    bins = np.concatenate([histogram.bins for histogram in histograms])
    bin_counts = np.concatenate([histogram.bin_counts for histogram in histograms]).astype(np.float64)
    lows, highs = np.array([(histogram.min, histogram.max) for histogram in histograms]).T
    ends = sizes.cumsum()
    totals = np.add.reduceat(bin_counts, ends - sizes).tolist()
    counts, edges, ends = dense_rows(bins, bin_counts, ends, lows, highs)
    limits, counted = (array.astype(_FLOAT, copy=False).tobytes() for array in (edges, counts))
    cuts = [(8 * start + 8, 8 * end) for start, end in pairwise([0, *ends.tolist()])]
    return ((n, limits[start:end], counted[start:end]) for n, (start, end) in zip(totals, cuts, strict=True))
