"""Histograms of many steps on common bins, so that they can be drawn beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.values import Histogram

Point = tuple[int, Histogram]
_SHARES = (0.002, 0.998)


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


def _cumulative(histogram: Histogram, at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values below each point; a single repeated value counts where its bin begins."""
    if histogram.count == 0:
        return np.zeros(len(at))
    edges, below = histogram.edges, np.concatenate([[0], np.cumsum(histogram.counts)]) / histogram.count
    if edges[0] == edges[-1]:
        return np.where(at > edges[0], 1.0, 0.0)
    found: NDArray[np.float64] = np.interp(at, edges, below)
    return found
