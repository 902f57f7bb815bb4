"""Figures of a distribution over time: ridges and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from puffer_callbacks.plots.densities import Point, common_edges, shares
from puffer_callbacks.plots.style import PALETTE, add_legend, figure_of, label, new_axes, short_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure


def histogram_ridges(
    points: Sequence[Point], *, title: str = "", max_ridges: int = 20, num_bins: int = 120, ax: Axes | None = None
) -> Figure:
    """A figure of histograms behind each other, the newest in front.

    Args:
        points: step and histogram, as ``run.histograms[tag]`` and ``MemoryLogger.series(tag)`` give them.
        title: above the axes, such as the tag.
        max_ridges: at most so many are drawn, at even distances.
        num_bins: along the values.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if no histogram holds a finite value.

    Example:
        >>> from puffer_callbacks import Histogram
        >>> import torch
        >>> figure = histogram_ridges([(step, Histogram.of(torch.randn(100) + step)) for step in range(5)])
    """
    chosen = _spread(points, max_ridges)
    edges = common_edges(chosen, num_bins=num_bins)
    heights = shares(chosen, edges)
    heights = heights / (heights.max() or 1.0) * 3
    ax = new_axes(ax, size=(6.0, 4.2))
    centers = (edges[1:] + edges[:-1]) / 2
    for place, row in enumerate(heights):
        base, recency = -place, (place + 1) / len(chosen)
        ax.fill_between(centers, base, base + row, color=_shade(recency), linewidth=0, zorder=2 * place + 2)
        ax.plot(centers, base + row, color="white", linewidth=0.8, zorder=2 * place + 3)
    _step_ticks(ax, [step for step, _ in chosen])
    ax.grid(visible=False, axis="y")
    label(ax, title=title, x="value", y="steps")
    return figure_of(ax)


def histogram_heatmap(
    points: Sequence[Point], *, title: str = "", num_bins: int = 80, ax: Axes | None = None
) -> Figure:
    """A figure of histograms over time: color is the share of the values, lines are the quartiles.

    Args:
        points: step and histogram, as ``run.histograms[tag]`` and ``MemoryLogger.series(tag)`` give them.
        title: above the axes, such as the tag.
        num_bins: along the values.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if no histogram holds a finite value.

    Example:
        >>> from puffer_callbacks import Histogram
        >>> import torch
        >>> figure = histogram_heatmap([(step, Histogram.of(torch.randn(100) + step)) for step in range(5)])
    """
    edges = common_edges(points, num_bins=num_bins)
    density = shares(points, edges)
    steps = np.array([step for step, _ in points], np.float64)
    ax = new_axes(ax)
    mesh = ax.pcolormesh(_borders(steps), edges, density.T, cmap="cividis", norm=_square_root(), rasterized=True)
    quartiles = np.array([histogram.quantile([0.25, 0.5, 0.75]) for _, histogram in points])
    for column, width in ((0, 0.7), (1, 1.4), (2, 0.7)):
        name = "median" if column == 1 else "quartiles" if column == 0 else None
        ax.plot(steps, quartiles[:, column], color="white", linewidth=width, label=name)
    ax.grid(visible=False)
    ax.set_ylim(edges[0], edges[-1])
    add_legend(ax, color="white")
    figure_of(ax).colorbar(mesh, ax=ax, label="share of values", pad=0.02)
    label(ax, title=title, x="steps", y="value", steps=True)
    return figure_of(ax)


def _spread(points: Sequence[Point], most: int) -> list[Point]:
    """At most ``most`` points at even distances, the first and the last among them."""
    places = np.unique(np.linspace(0, len(points) - 1, min(most, len(points))).round().astype(int))
    return [points[place] for place in places]


def _borders(steps: np.ndarray[tuple[int], np.dtype[np.float64]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Borders [n + 1] half-way between neighboring steps."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def _step_ticks(ax: Axes, steps: Sequence[int]) -> None:
    places = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
    ax.set_yticks(-places, [short_number(steps[place]) for place in places])


def _shade(recency: float) -> tuple[float, float, float]:
    """From a pale blue for the oldest to the palette's for the newest."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    red, green, blue = (1 - recency * 0.85 * (1 - part) - 0.15 * (1 - part) for part in to_rgb(PALETTE[0]))
    return red, green, blue


def _square_root() -> Normalize:
    """A color scale on which the tails of a narrow distribution can still be seen."""
    from matplotlib.colors import PowerNorm  # noqa: PLC0415

    return PowerNorm(0.5)
