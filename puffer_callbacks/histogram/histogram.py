"""The distribution of a tensor as a value: counts in fixed bins, with exact totals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.histogram.bins import LAST_BIN, bins_of, dense_row, lower_edges, merge_lightest

_CHUNK = 1 << 18


@dataclass(frozen=True, eq=False)
class Histogram:
    """The distribution of many numbers, on the host.

    Bins are fixed (eight to the octave, zero by itself; see ``puffer_callbacks.histogram.bins``), so histograms of
    parts add up to the histogram of the whole. Only bins that hold something are stored. ``counts`` and
    ``edges`` show them as one contiguous row, in which a run of empty bins is one wide empty bin and the
    outer edges are the minimum and the maximum. An empty histogram is one empty bin from 0 to 1, with a
    minimum and a maximum of NaN.

    Build one with ``Histogram.of``; for many tensors at once ``puffer_callbacks.histogram.sketch`` is faster.

    Args:
        bins: int32 [K] ascending, the bins that hold something.
        bin_counts: int64 [K], above 0, how many values each of them holds.
        nonfinite: how many values were NaN or infinite; they are in nothing else.
        min: smallest finite value, NaN where there is none.
        max: largest finite value, NaN where there is none.
        sum: sum of the finite values.
        sum_squares: sum of their squares.

    Raises:
        ValueError: if ``bins`` and ``bin_counts`` are not of one length.

    Example:
        >>> histogram = Histogram.of(torch.arange(1, 101)) + Histogram.of(torch.tensor([400.0, float("nan")]))
        >>> histogram.count, histogram.nonfinite, histogram.min, histogram.max, histogram.sum
        (101, 1, 1.0, 400.0, 5450.0)
    """

    bins: NDArray[np.int32]
    bin_counts: NDArray[np.int64]
    nonfinite: int
    min: float
    max: float
    sum: float
    sum_squares: float

    def __post_init__(self) -> None:
        if self.bins.shape != self.bin_counts.shape or self.bins.ndim != 1:
            given = f"{self.bins.shape} and {self.bin_counts.shape}"
            raise ValueError(f"Histogram: expected bins and bin_counts of one length, got {given}")
        self.bins.flags.writeable = False
        self.bin_counts.flags.writeable = False

    @staticmethod
    def of(tensor: torch.Tensor) -> "Histogram":
        """The histogram of one tensor.

        Args:
            tensor: of any shape, device and dtype. Complex numbers count by their magnitude, in a sparse
                tensor the zeros count too, and integers beyond 2**53 are rounded to float64.

        Raises:
            ValueError: if the tensor is quantized or on the meta device.

        Example:
            >>> Histogram.of(torch.zeros(3)).counts
            array([3])
        """
        if tensor.is_meta or tensor.is_quantized:
            given = "a meta tensor" if tensor.is_meta else "a quantized tensor"
            raise ValueError(f"Histogram: expected a tensor that holds numbers, got {given}; dequantize or load it")
        dense = tensor.detach().to_dense().reshape(-1)
        counts = np.zeros(2 * LAST_BIN + 1, np.int64)
        totals: list[tuple[float, float, float, float]] = []
        for chunk in torch.split(dense, _CHUNK):
            real = chunk.to(torch.complex128).abs() if chunk.is_complex() else chunk
            values = real.to("cpu", torch.float64).numpy()
            values = values[np.isfinite(values)]
            if values.size:
                counts += np.bincount(bins_of(values) + LAST_BIN, minlength=counts.size)
                totals.append(_totals(values))
        bins = np.flatnonzero(counts)
        nonfinite = dense.numel() - int(counts.sum())
        return Histogram((bins - LAST_BIN).astype(np.int32), counts[bins], nonfinite, *combine(totals))

    def __add__(self, other: "Histogram") -> "Histogram":
        if not isinstance(other, Histogram):
            return NotImplemented
        bins, places = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, places, np.concatenate([self.bin_counts, other.bin_counts]))
        totals = [(h.min, h.max, h.sum, h.sum_squares) for h in (self, other) if h.count]
        return Histogram(bins, counts, self.nonfinite + other.nonfinite, *combine(totals))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        pairs = [(getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return all(np.array_equal(mine, theirs, equal_nan=True) for mine, theirs in pairs)

    __hash__ = None  # type: ignore[assignment]  # it holds arrays

    @cached_property
    def count(self) -> int:
        """How many finite values there are."""
        return int(self.bin_counts.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [B], how many values lie between neighboring ``edges``."""
        return self._row[0]

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 [B+1] ascending, from ``min`` to ``max``; a bin holds its left edge, the last one both."""
        return self._row[1]

    @cached_property
    def _row(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        return dense_row(self.bins, self.bin_counts, self.min, self.max)

    @overload
    def quantile(self, q: float) -> float: ...
    @overload
    def quantile(self, q: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]: ...
    def quantile(self, q: float | Sequence[float] | NDArray[Any]) -> float | NDArray[np.float64]:
        """The value below which a share ``q`` of the finite values lies, as NumPy's linear quantile.

        Args:
            q: a share from 0 to 1, or several.

        Returns:
            A float, or float64 of the shape of ``q``, within the width of a bin (at most an eighth of the
            value) of the quantile of the values themselves. NaN where there is no value.

        Raises:
            ValueError: if a share is outside 0 to 1.
        """
        shares = np.asarray(q, np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"quantile: expected shares from 0 to 1, got {q}")
        if self.count == 0:
            found = np.full(shares.shape, np.nan)
        else:
            below = np.floor(shares * (self.count - 1))
            part = shares * (self.count - 1) - below
            found = self._ranked(below) * (1 - part) + self._ranked(np.ceil(below + part)) * part
        return float(found) if found.ndim == 0 else found

    def _ranked(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at places in ascending order, as if spread evenly within each bin."""
        ends = np.cumsum(self.bin_counts)
        place = np.searchsorted(ends, ranks, side="right")
        bins, counts = self.bins[place], self.bin_counts[place]
        left = np.clip(lower_edges(bins), self.min, self.max)
        right = np.where(bins == 0, 0.0, np.clip(lower_edges(bins + 1), self.min, self.max))
        inside = left + (right - left) * ((ranks - (ends[place] - counts) + 0.5) / counts)
        return np.where(ranks == 0, self.min, np.where(ranks == self.count - 1, self.max, inside))

    def coarsened(self, max_bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """``counts`` and ``edges`` of at most ``max_bins`` bins: the lightest neighbors are merged.

        Args:
            max_bins: at least 1.

        Raises:
            ValueError: if ``max_bins`` is below 1.
        """
        if max_bins < 1:
            raise ValueError(f"coarsened: expected max_bins of at least 1, got {max_bins}")
        return merge_lightest(*self._row, max_bins)


def _totals(values: NDArray[np.float64]) -> tuple[float, float, float, float]:
    with np.errstate(over="ignore"):
        return float(values.min()), float(values.max()), float(values.sum()), float(np.square(values).sum())


def combine(totals: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """Minimum, maximum, sum and sum of squares of parts, as those of the whole.

    Example:
        >>> combine([(1.0, 2.0, 3.0, 5.0), (-1.0, -1.0, -1.0, 1.0)])
        (-1.0, 2.0, 2.0, 6.0)
    """
    if not totals:
        return math.nan, math.nan, 0.0, 0.0
    lows, highs, sums, squares = zip(*totals, strict=True)
    # 0.0 is added so that a negative zero shows as zero.
    return min(lows) + 0.0, max(highs) + 0.0, sum(sums), sum(squares)
