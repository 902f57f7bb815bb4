"""The histogram of a tensor as a value: counts in fixed bins, with exact totals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.histogram.bins import dense_rows, lower_edges, merge_lightest
from puffer_callbacks.histogram.count_table import Counted
from puffer_callbacks.histogram.counting import count_all


@dataclass(frozen=True, eq=False)
class Histogram:
    """The histogram of many numbers, on the host.

    Bins are fixed (eight to the octave, and one for zero; see ``puffer_callbacks.histogram.bins``), so histograms of
    parts add up to the histogram of the whole. Only bins that are not empty are stored. ``counts`` and ``edges`` show
    them as contiguous bins, where each run of empty bins is one wide empty bin, and the outer edges are the minimum and
    the maximum. An empty histogram is one empty bin from 0 to 1, with a minimum and a maximum of NaN.

    Args:
        bins: int32 [K] ascending, the bins that are not empty.
        bin_counts: int64 [K], above 0, the number of values in each.
        nonfinite: the number of values that are NaN or infinite; nothing else includes them.
        min: smallest finite value, NaN where there is none.
        max: largest finite value, NaN where there is none.
        sum: sum of the finite values.
        sum_squares: sum of their squares.

    Raises:
        ValueError: if ``bins`` and ``bin_counts`` differ in length.

    Example:
        >>> histogram = Histogram.of(range(1, 101)) + Histogram.of([400.0, float("nan")])
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

    @classmethod
    def of(cls, values: Tensor | NDArray[Any] | Sequence[float]) -> "Histogram":
        """The histogram of one tensor, array or list of numbers.

        Args:
            values: of any shape, strides, device and dtype. Complex numbers count by their magnitude, in a sparse
                tensor the zeros count too, integers beyond 2**53 are rounded to float64. Of a ``DTensor`` the local
                shard counts, and where it is replicated only on the first replica; see ``over_ranks`` for the whole.

        Returns:
            Counts, minimum and maximum are exact; sums are added up in float64.

        Raises:
            TypeError: if ``values`` does not hold numbers.
            ValueError: if it is on the meta device, quantized, freed, or holds partial sums.

        Example:
            >>> Histogram.of(np.zeros(3)).counts
            array([3])
        """
        return cls.of_all({"Histogram.of": values})["Histogram.of"]

    @classmethod
    def of_all(cls, values: Mapping[str, Tensor | NDArray[Any] | Sequence[float]]) -> "dict[str, Histogram]":
        """The histogram of each of many tensors: one pass over them all, and on an accelerator one copy to the host.

        Args:
            values: name to what ``of`` takes.

        Raises:
            TypeError: if one of them does not hold numbers; the message has its name, as for the following.
            ValueError: if one of them is on the meta device, quantized, freed, or holds partial sums.

        Example:
            >>> found = Histogram.of_all({"weights": np.ones((3, 2)), "mask": [True, False]})
            >>> found["weights"].sum, found["mask"].count
            (6.0, 2)
        """
        return {name: cls._of_counted(counted) for name, counted in count_all(values).items()}

    @classmethod
    def _of_counted(cls, counted: Counted) -> "Histogram":
        """Without the checks of the constructor, at a fraction of its price."""
        histogram = object.__new__(cls)
        vars(histogram).update(counted._asdict())
        return histogram

    def __add__(self, other: "Histogram") -> "Histogram":
        if not isinstance(other, Histogram):
            return NotImplemented
        bins, positions = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, positions, np.concatenate([self.bin_counts, other.bin_counts]))
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
        """The number of finite values."""
        return int(self.bin_counts.sum())

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [B], the number of values between neighboring ``edges``."""
        return self._row[0]

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 [B+1] ascending, from ``min`` to ``max``; a bin includes its left edge, the last one both."""
        return self._row[1]

    @cached_property
    def _row(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if not len(self.bins):
            return np.zeros(1, np.int64), np.array([0.0, 1.0])
        ends = (np.array([end]) for end in (len(self.bins), self.min, self.max))
        counts, edges, _ = dense_rows(self.bins, self.bin_counts, *ends)
        return counts[1:], edges

    @overload
    def quantile(self, q: float) -> float: ...
    @overload
    def quantile(self, q: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]: ...
    def quantile(self, q: float | Sequence[float] | NDArray[Any]) -> float | NDArray[np.float64]:
        """The value below which a share ``q`` of the finite values is, like the linear method of ``np.quantile``.

        Args:
            q: a share from 0 to 1, or several.

        Returns:
            A float, or float64 of the shape of ``q``, off from the quantile of the values themselves by at most the
            width of a bin, an eighth of the value. NaN where there is no value.

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
        """The values at ranks from 0 on in ascending order, as if spread evenly within each bin."""
        ends = np.cumsum(self.bin_counts)
        index = np.searchsorted(ends, ranks, side="right")
        bins, counts = self.bins[index], self.bin_counts[index]
        left = np.clip(lower_edges(bins), self.min, self.max)
        right = np.where(bins == 0, 0.0, np.clip(lower_edges(bins + 1), self.min, self.max))
        inside = left + (right - left) * ((ranks - (ends[index] - counts) + 0.5) / counts)
        return np.where(ranks == 0, self.min, np.where(ranks == self.count - 1, self.max, inside))

    def coarsened(self, max_bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """``counts`` and ``edges`` of at most ``max_bins`` bins: the neighbors with the lowest counts are merged.

        Args:
            max_bins: at least 1.

        Raises:
            ValueError: if ``max_bins`` is below 1.
        """
        if max_bins < 1:
            raise ValueError(f"coarsened: expected max_bins of at least 1, got {max_bins}")
        return merge_lightest(*self._row, max_bins)


def combine(totals: Sequence[tuple[float, float, float, float]]) -> tuple[float, float, float, float]:
    """Minimum, maximum, sum and sum of squares of the whole, from those of its parts.

    Example:
        >>> combine([(1.0, 2.0, 3.0, 5.0), (-1.0, -1.0, -1.0, 1.0)])
        (-1.0, 2.0, 2.0, 6.0)
    """
    if not totals:
        return math.nan, math.nan, 0.0, 0.0
    lows, highs, sums, squares = zip(*totals, strict=True)
    return min(lows), max(highs), sum(sums), sum(squares)
