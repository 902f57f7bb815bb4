"""The distribution of a tensor as a value: counts in fixed bins, with exact totals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.bins import bins_of, lower_edges


@dataclass(frozen=True, eq=False)
class Histogram:
    """The distribution of many numbers, on the host.

    Bins are fixed (eight to the octave, zero by itself), so histograms of parts add up to the histogram of the whole. Only
    bins that hold something are stored; ``counts`` and ``edges`` show them as one contiguous row, in which a run of empty
    bins is one wide empty bin and the outer edges are the minimum and the maximum. An empty histogram is one empty bin
    from 0 to 1, with a minimum and a maximum of NaN.

    Build it with ``Histogram.of``, or for many tensors at once with ``puffer_callbacks.measure.sketch``.

    Args:
        bins: int32 [K] ascending, the bins that hold something (see ``puffer_callbacks.bins``).
        bin_counts: int64 [K], above 0, how many values each of them holds.
        nonfinite: how many values were NaN or infinite; they are in nothing else.
        min: smallest finite value, NaN where there is none.
        max: largest finite value, NaN where there is none.
        sum: sum of the finite values.
        sum_squares: sum of their squares.

    Raises:
        ValueError: if ``bins`` and ``bin_counts`` are not of one length.

    Example:
        >>> histogram = Histogram.of(torch.tensor([1.0, 2.0])) + Histogram.of(torch.tensor([4.0, float("nan")]))
        >>> histogram.count, histogram.nonfinite, histogram.max, histogram.quantile(0.5)
        (3, 1, 4.0, 2.125)
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
        for array in (self.bins, self.bin_counts):
            array.flags.writeable = False

    @staticmethod
    def of(tensor: torch.Tensor) -> "Histogram":
        """The histogram of one tensor, of any real dtype, shape and device.

        Args:
            tensor: any dense tensor of numbers or booleans.

        Example:
            >>> Histogram.of(torch.zeros(3)).counts
            array([3])
        """
        values = tensor.detach().reshape(-1).to("cpu", torch.float64).numpy()
        finite = values[np.isfinite(values)]
        if finite.size == 0:
            return Histogram(np.zeros(0, np.int32), np.zeros(0, np.int64), values.size, math.nan, math.nan, 0.0, 0.0)
        bins, counts = np.unique(bins_of(finite), return_counts=True)
        low, high = float(finite.min()) + 0.0, float(finite.max()) + 0.0
        with np.errstate(over="ignore"):
            total, squares = float(finite.sum()), float(np.square(finite).sum())
        return Histogram(bins, counts, values.size - finite.size, low, high, total, squares)

    def __add__(self, other: "Histogram") -> "Histogram":
        if not isinstance(other, Histogram):
            return NotImplemented
        bins, places = np.unique(np.concatenate([self.bins, other.bins]), return_inverse=True)
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, places, np.concatenate([self.bin_counts, other.bin_counts]))
        return Histogram(
            bins=bins,
            bin_counts=counts,
            nonfinite=self.nonfinite + other.nonfinite,
            min=float(np.fmin(self.min, other.min)),
            max=float(np.fmax(self.max, other.max)),
            sum=self.sum + other.sum,
            sum_squares=self.sum_squares + other.sum_squares,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and repr(self.to_state()) == repr(other.to_state())

    __hash__ = None  # type: ignore[assignment]

    @cached_property
    def count(self) -> int:
        """How many finite values there are."""
        return int(self.bin_counts.sum())

    @cached_property
    def _row(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        if self.count == 0:
            return np.zeros(1, np.int64), np.array([0.0, 1.0])
        gaps = np.diff(self.bins) > 1
        starts = np.concatenate([self.bins, self.bins[:-1][gaps] + 1])
        counts = np.concatenate([self.bin_counts, np.zeros(int(gaps.sum()), np.int64)])
        order = np.argsort(starts)
        edges = np.append(lower_edges(starts[order]), self.max)
        edges[0] = self.min
        if edges[-1] <= edges[-2]:
            edges[-1] = np.nextafter(edges[-2], np.inf)
        keep = (edges[1:] > edges[:-1]) | (counts[order] > 0)
        return counts[order][keep], edges[np.append(keep, True)]

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64 [B], how many values lie between neighboring ``edges``."""
        return self._row[0]

    @property
    def edges(self) -> NDArray[np.float64]:
        """float64 [B+1] ascending, from ``min`` to ``max``: each bin holds its left edge, the last one both."""
        return self._row[1]

    @overload
    def quantile(self, q: float) -> float: ...
    @overload
    def quantile(self, q: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]: ...
    def quantile(self, q: float | Sequence[float] | NDArray[Any]) -> float | NDArray[np.float64]:
        """The value below which a share ``q`` of the finite values lies, as NumPy's linear quantile.

        Args:
            q: a share from 0 to 1, or several.

        Returns:
            A float, or float64 of the shape of ``q``: within the width of a bin (an eighth of the value at most) of the
            quantile of the values themselves. NaN where there is no value.

        Raises:
            ValueError: if a share is outside 0 to 1.
        """
        shares = np.asarray(q, np.float64)
        if not ((shares >= 0) & (shares <= 1)).all():
            raise ValueError(f"quantile: expected shares from 0 to 1, got {q}")
        if self.count == 0:
            found = np.full(shares.shape, np.nan)
        else:
            ranks = shares * (self.count - 1)
            part = ranks - np.floor(ranks)
            found = self._ranked(np.floor(ranks)) * (1 - part) + self._ranked(np.ceil(ranks)) * part
        return float(found) if found.ndim == 0 else found

    def _ranked(self, ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at places in ascending order, spread evenly within each bin."""
        ends = np.cumsum(self.bin_counts)
        places = np.searchsorted(ends, ranks, side="right")
        left = np.clip(lower_edges(self.bins), self.min, self.max)[places]
        right = np.clip(lower_edges(self.bins + np.int32(1)), self.min, self.max)[places]
        share = (ranks - (ends - self.bin_counts)[places] + 0.5) / self.bin_counts[places]
        inside = np.where(self.bins[places] == 0, 0.0, left + (right - left) * share)
        return np.where(ranks == 0, self.min, np.where(ranks == self.count - 1, self.max, inside))

    def coarsened(self, max_bins: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """``counts`` and ``edges`` with at most ``max_bins`` bins: the lightest neighbors are merged.

        Args:
            max_bins: at least 1.

        Raises:
            ValueError: if ``max_bins`` is below 1.
        """
        if max_bins < 1:
            raise ValueError(f"coarsened: expected max_bins of at least 1, got {max_bins}")
        counts, edges = self._row
        while len(counts) > max_bins:
            # A gap merges last: it is what sets an outlier apart.
            gaps = (counts[1:] == 0) | (counts[:-1] == 0)
            first = int(np.argmin(counts[1:] + counts[:-1] + gaps * self.count))
            both = counts[first] + counts[first + 1]
            counts, edges = np.delete(counts, first), np.delete(edges, first + 1)
            counts[first] = both
        return counts, edges

    def to_state(self) -> dict[str, Any]:
        """Plain lists and numbers, for a checkpoint."""
        return {
            "bins": self.bins.tolist(),
            "bin_counts": self.bin_counts.tolist(),
            **{name: getattr(self, name) for name in ("nonfinite", "min", "max", "sum", "sum_squares")},
        }

    @staticmethod
    def from_state(state: Mapping[str, Any]) -> "Histogram":
        """The histogram whose ``to_state`` this was."""
        arrays = {"bins": np.array(state["bins"], np.int32), "bin_counts": np.array(state["bin_counts"], np.int64)}
        return Histogram(**{**state, **arrays})
