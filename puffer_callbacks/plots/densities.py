"""Histograms of many steps on common bins, so that they can be drawn beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.runs.order import in_order
from puffer_callbacks.values import Histogram

Point = tuple[int, Histogram]
_SHARES = (0.002, 0.998)
_MOST_VALUES = 12


@dataclass(frozen=True, eq=False)
class Density:
    """What a figure of histograms over time draws.

    Args:
        edges: float64 [rows + 1], ascending.
        shares: float64 [points, rows], of each step's values.
        values: float64 [rows] where each row is one value, as of discrete actions; the edges are then places.
    """

    edges: NDArray[np.float64]
    shares: NDArray[np.float64]
    values: NDArray[np.float64] | None


def density(points: Sequence[Point], *, num_bins: int) -> Density:
    """Histograms on common bins, or a row for each value where they hold at most twelve.

    Raises:
        ValueError: if no histogram holds a finite value.

    Example:
        >>> actions = density([(0, Histogram.of([0, 1, 1, 1])), (8, Histogram.of([3.0]))], num_bins=48)
        >>> actions.values.tolist(), actions.shares.tolist()
        ([0.0, 1.0, 3.0], [[0.25, 0.75, 0.0], [0.0, 0.0, 1.0]])
        >>> density([(0, Histogram.of([0.3, 0.7, 1]))], num_bins=48).shares.shape
        (1, 48)
    """
    edges = common_edges(points, num_bins=num_bins)
    values = _distinct_values(points)
    if values is None:
        return Density(edges, shares(points, edges), None)
    rows = np.zeros((len(points), len(values)))
    for row, (_, histogram) in zip(rows, points, strict=True):
        held, counts = _inner_edges(histogram)
        row[np.searchsorted(values, held)] = counts / max(histogram.count, 1)
    return Density(np.arange(len(values) + 1, dtype=np.float64) - 0.5, rows, values)


def spread(points: Sequence[Point], most: int | None = None) -> list[Point]:
    """The points by ascending step, without those that a restarted run wrote again.

    Args:
        points: step and histogram.
        most: of more, so many at even distances, the first and the last among them.
    """
    ordered = [points[place] for place in in_order([step for step, _ in points])]
    if most is None or len(ordered) <= most:
        return ordered
    return [ordered[place] for place in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def common_edges(points: Sequence[Point], *, num_bins: int) -> NDArray[np.float64]:
    """Edges [num_bins + 1] at even distances, over the central 99.6 % of the values of every step.

    Single extreme values would leave one bin for all the others.

    Raises:
        ValueError: if no histogram holds a finite value.
    """
    quantiles = np.array([histogram.quantile(_SHARES) for _, histogram in points if histogram.count])
    if not quantiles.size:
        raise ValueError(f"histograms: expected a histogram that holds finite values, got {len(points)} empty ones")
    low, high = quantiles[:, 0].min(), quantiles[:, 1].max()
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-300):
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    margin = 0.01 * (high - low)  # values at the very ends, as of discrete actions, lie inside a bin
    return np.linspace(low - margin, high + margin, num_bins + 1)


def shares(points: Sequence[Point], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each step's values in each bin, as if values were spread evenly within the histogram's own bins.

    Args:
        points: step and histogram, one or more.
        edges: [bins + 1], ascending.

    Returns:
        float64 [points, bins]; what lies outside the edges is in no bin.
    """
    rows = [_cumulative(histogram, edges) for _, histogram in points]
    return np.diff(np.stack(rows), axis=1)


def quartiles(points: Sequence[Point]) -> NDArray[np.float64]:
    """The lower quartile, the median and the upper quartile of each step, [3, points].

    They are for many values: those of a few values jump between them.
    """
    return np.array([histogram.quantile([0.25, 0.5, 0.75]) for _, histogram in points]).T


def _distinct_values(points: Sequence[Point]) -> NDArray[np.float64] | None:
    """The few values that the histograms hold, ascending; ``None`` for many, or where a bin may hold several."""
    found: set[float] = set()
    for _, histogram in points:
        values, counts = _inner_edges(histogram)
        if (values**2 * counts).sum() != histogram.sum_squares:  # a value lies further from zero than its bin's edge
            return None
        found.update(values.tolist())
        if len(found) > _MOST_VALUES:
            return None
    return np.array(sorted(found))


def _inner_edges(histogram: Histogram) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The edge of each filled bin that is nearest to zero, and the bin's count."""
    filled, low, high = histogram.counts > 0, histogram.edges[:-1], histogram.edges[1:].copy()
    high[:-1] = np.nextafter(high[:-1], -np.inf)  # all but the last bin end before their upper edge
    return np.where(low < 0, high, low)[filled], histogram.counts[filled]


def _cumulative(histogram: Histogram, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values below each point; a single repeated value counts where its bin begins."""
    if histogram.count == 0:
        return np.zeros(len(at))
    edges, below = histogram.edges, np.concatenate([[0], np.cumsum(histogram.counts)]) / histogram.count
    if edges[0] == edges[-1]:
        return np.where(at > edges[0], 1.0, 0.0)
    found: NDArray[np.float64] = np.interp(at, edges, below)
    return found
