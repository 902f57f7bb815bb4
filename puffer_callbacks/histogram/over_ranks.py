"""Histograms of tensors that are spread over processes."""

import math
from collections.abc import Mapping

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.distributed import all_reduce, gather_json
from puffer_callbacks.histogram.bins import LAST_BIN, bins_of
from puffer_callbacks.histogram.histogram import Histogram, combine

_TOTALS = 4  # minimum, maximum, sum, sum of squares
_BEYOND_FLOAT32 = (torch.float64, torch.complex64, torch.complex128)


def histograms_over_ranks(tensors: Mapping[str, Tensor], *, replicated: bool) -> dict[str, Histogram]:
    """The histogram of each tensor over all processes: one all-reduce, and nothing gathered.

    Counts, minimum and maximum are those of the whole tensor bit for bit, however it is sharded.

    Args:
        tensors: name to tensor; the same names and dtypes on every rank. A ``DTensor`` counts by its shards,
            each of its elements once.
        replicated: whether tensors of other kinds are the same on every rank and count once (weights and gradients
            under data parallelism), or are different and all count (rollouts).

    Returns:
        Name to histogram, the same on every rank. Without a process group, that of ``Histogram.of_all``.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return Histogram.of_all(tensors)
    rank, ranks = dist.get_rank(), dist.get_world_size()
    counted_here = {n: t for n, t in tensors.items() if hasattr(t, "placements") or not replicated or rank == 0}
    local = Histogram.of_all(counted_here)
    layouts = {name: _RowLayout(tensors[name].dtype) for name in sorted(tensors)}
    rows = [layout.to_row(local.get(name), rank, ranks) for name, layout in layouts.items()]
    summed = all_reduce(torch.from_numpy(np.concatenate([np.zeros(0), *rows]))).numpy()
    ends = np.cumsum([len(row) for row in rows])
    summed_rows = zip(layouts.items(), np.split(summed, ends[:-1]) if rows else (), strict=True)
    found = {name: layout.from_row(row, ranks) for (name, layout), row in summed_rows}
    return {name: found[name] for name in tensors}


def gather_merged(histograms: Mapping[str, Histogram]) -> dict[str, Histogram]:
    """The histograms of all ranks, merged on rank 0; empty on the others. Ranks may have other names, or none.

    Args:
        histograms: name to this rank's histogram.
    """
    state = {name: [h.bins.tolist(), h.bin_counts.tolist(), *_totals(h)] for name, h in histograms.items()}
    merged: dict[str, Histogram] = {}
    for rank in gather_json(state) or ():
        for name, (bins, counts, *totals) in rank.items():
            fresh = Histogram(np.array(bins, np.int32), np.array(counts, np.int64), *totals)
            merged[name] = merged[name] + fresh if name in merged else fresh
    return merged


def _totals(histogram: Histogram) -> tuple[float, ...]:
    return histogram.nonfinite, histogram.min, histogram.max, histogram.sum, histogram.sum_squares


class _RowLayout:
    """A histogram as a row of float64 of one length on every rank, such that the sum of rows is the whole.

    Counts of every bin that the dtype can fill (exact up to 2**53), the number of values that are not finite, and for
    each rank a slot for its totals, which the other ranks leave at zero, so that summing keeps them.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        narrow = np.finfo(np.float32)
        first, last = bins_of(np.array([narrow.smallest_subnormal, narrow.max], np.float64)).tolist()
        if dtype in _BEYOND_FLOAT32:
            first, last = 1, LAST_BIN
        self._first, self._span = int(first), int(last - first + 1)

    def to_row(self, histogram: Histogram | None, rank: int, ranks: int) -> NDArray[np.float64]:
        counts, totals = np.zeros(2 * self._span + 2), np.zeros((ranks, _TOTALS))
        totals[rank, :2] = math.inf, -math.inf
        if histogram is not None:
            bins = histogram.bins
            counts[np.where(bins == 0, 0, bins - np.sign(bins) * (self._first - 1)) + self._span] = histogram.bin_counts
            counts[-1] = histogram.nonfinite
            if histogram.count:
                totals[rank] = histogram.min, histogram.max, histogram.sum, histogram.sum_squares
        return np.concatenate([counts, totals.reshape(-1)])

    def from_row(self, row: NDArray[np.float64], ranks: int) -> Histogram:
        counts = row[: 2 * self._span + 1]
        filled = np.flatnonzero(counts)
        bins = filled - self._span
        bins += np.sign(bins) * (self._first - 1)
        lines = row[-ranks * _TOTALS :].reshape(ranks, _TOTALS).tolist()
        totals = combine([(low, high, total, squares) for low, high, total, squares in lines if low <= high])
        nonfinite = int(row[2 * self._span + 1])
        return Histogram(bins.astype(np.int32), counts[filled].astype(np.int64), nonfinite, *totals)
