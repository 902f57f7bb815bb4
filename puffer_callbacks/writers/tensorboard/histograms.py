"""Histograms as TensorBoard stores them, all of a row at once.

Written as the bytes of the message: its arrays are copied as they are, where the message's own constructor would
take each number by itself.
"""

from collections.abc import Mapping
from struct import Struct

import numpy as np

from puffer_callbacks.histogram.bins import LAST_BIN, lower_edges
from puffer_callbacks.values import Histogram
from puffer_callbacks.writers.tensorboard.compiled import IS_COMPILED, encoding
from puffer_callbacks.writers.tensorboard.histogram_rows import rows_as_bytes
from puffer_callbacks.writers.tensorboard.protobuf import field

_TOTAL = Struct("<Bd")
"""Minimum, maximum, number, sum or sum of squares: one of the fields 1 to 5, a key and a float64."""

_EDGES = lower_edges(np.arange(-LAST_BIN, LAST_BIN + 2))
_LIMITS, _COUNTS = 6, 7
_VALUE, _TAG, _HISTO = 1, 1, 5


def encode_histograms(histograms: Mapping[str, Histogram]) -> bytes:
    """A serialized ``Summary`` with a value for each histogram.

    Args:
        histograms: by their tags.

    Example:
        >>> from tensorboard.compat.proto.summary_pb2 import Summary
        >>> import torch
        >>> Summary.FromString(encode_histograms({"weights": Histogram.of(torch.ones(5))})).value[0].histo.bucket
        [5.0]
    """
    if IS_COMPILED:
        return b"".join(_encode(tag, histogram) for tag, histogram in histograms.items())
    rows = rows_as_bytes(list(histograms.values()))
    return b"".join(
        field(_VALUE, field(_TAG, tag.encode()) + field(_HISTO, _message(histogram, *row)))
        for (tag, histogram), row in zip(histograms.items(), rows, strict=True)
    )


def _encode(tag: str, histogram: Histogram) -> bytes:
    bins, counts = histogram.bins.astype(np.int32, copy=False), histogram.bin_counts.astype(np.int64, copy=False)
    totals = histogram.min, histogram.max, histogram.sum, histogram.sum_squares
    return encoding.histogram(tag.encode(), bins.tobytes(), counts.tobytes(), *totals, _EDGES[LAST_BIN:].ctypes.data)


def _message(histogram: Histogram, number: float, limits: bytes, counts: bytes) -> bytes:
    low, high = (histogram.min, histogram.max) if number else (0.0, 0.0)
    totals = low, high, number, histogram.sum, histogram.sum_squares
    packed = [_TOTAL.pack(at << 3 | 1, total) for at, total in enumerate(totals, 1) if total]  # a zero is not there
    return b"".join(packed) + field(_LIMITS, limits) + field(_COUNTS, counts)
