"""Histograms of tensors of any size and device: counted in chunks, put together on the host."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.histogram.chunks import count_in_chunks
from puffer_callbacks.histogram.count_table import Totals, by_place, histograms, merge_zeros
from puffer_callbacks.histogram.histogram import Histogram, combine
from puffer_callbacks.histogram.kernels import Float32Counter, Float64Counter
from puffer_callbacks.histogram.local_tensor import Part


def narrow(parts: Mapping[str, Part]) -> dict[str, Histogram | None]:
    """Histograms of numbers that are exact in float32; none where there is what only ``wide`` counts right.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
    """
    given = list(parts.values())
    counts, told = count_in_chunks([part.values for part in given], Float32Counter)
    table = by_place(counts)
    tiny = merge_zeros(table)
    plain = tiny == _zeros(given, tiny)
    totals = [
        line if good and np.isfinite(line[3]) else None for good, line in zip(plain, _totals(told, given), strict=True)
    ]
    table[:, Float32Counter.bins // 2] += [part.zeros for part in given]
    return dict(zip(parts, histograms(table, totals, first_bin=Float32Counter.first_bin), strict=True))


def _zeros(parts: Sequence[Part], tiny: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of those with the top bits of a zero or a denormal are zeros."""
    zeros = tiny.copy()
    may_be_denormal = (torch.float32, torch.bfloat16)
    unsure = [row for row in tiny.nonzero()[0].tolist() if parts[row].values.dtype in may_be_denormal]
    if unsure:
        nonzero = torch.stack([torch.count_nonzero(parts[row].values) for row in unsure]).tolist()
        zeros[unsure] = [parts[row].values.numel() - n for row, n in zip(unsure, nonzero, strict=True)]
    return zeros


def wide(parts: Mapping[str, Part]) -> dict[str, Histogram]:
    """Histograms of any numbers.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
    """
    given = list(parts.values())
    counts, told = count_in_chunks([part.values for part in given], Float64Counter)
    nonfinite, zeros = (np.array([int(sum(line[i] for line in lines)) for lines in told]) for i in (4, 5))
    counts[:, 0] -= nonfinite  # they were counted as zeros
    table = by_place(counts)
    plain = merge_zeros(table) == zeros
    finite = [[line for line in lines if line[0] <= line[1]] for lines in told]
    totals = [line if good else None for good, line in zip(plain, _totals(finite, given), strict=True)]
    table[:, Float64Counter.bins // 2] += [part.zeros for part in given]
    rows = histograms(table, totals, first_bin=Float64Counter.first_bin, nonfinite=nonfinite.tolist())
    return {name: row or _slowly(part) for (name, part), row in zip(parts.items(), rows, strict=True)}


def _slowly(part: Part) -> Histogram:
    """Denormals of float64 are rare enough to take their time."""
    return Histogram.of(part.values) + zeros_histogram(part.zeros)


def _totals(told: Sequence[Sequence[Sequence[float]]], parts: Sequence[Part]) -> list[Totals]:
    """The totals of each tensor, from those of its chunks and the zeros that it does not store."""
    nothing = [(0.0, 0.0, 0.0, 0.0)]
    chunks = [[(line[0], line[1], line[2], line[3]) for line in lines] for lines in told]
    return [combine(lines + nothing * bool(part.zeros)) for lines, part in zip(chunks, parts, strict=True)]


def zeros_histogram(zeros: int) -> Histogram:
    """The histogram of so many zeros.

    Example:
        >>> zeros_histogram(3).count, zeros_histogram(0).count
        (3, 0)
    """
    bins = np.zeros(min(zeros, 1), np.int32)
    return Histogram(bins, bins.astype(np.int64) + zeros, 0, *combine([(0.0, 0.0, 0.0, 0.0)] * len(bins)))
