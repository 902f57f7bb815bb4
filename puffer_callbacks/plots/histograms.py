"""Figures of a distribution over time: ridges and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.densities import Point, density, quartiles, spread
from puffer_callbacks.plots.style import (
    PALETTE,
    add_colorbar,
    add_legend,
    figure_of,
    label,
    new_axes,
    short_number,
    short_numbers,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.typing import ColorType as Color

Array = NDArray[np.float64]


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
    chosen = spread(points, max_ridges)
    drawn = density(chosen, num_bins=num_bins)
    heights = drawn.shares / (drawn.shares.max() or 1.0) * (3 if drawn.values is None else 0.9)
    ax = new_axes(ax, size=(6.0, 4.2))
    for place, row in enumerate(heights):
        color = _mixed((place + 1) / len(chosen), ax.get_facecolor())
        x, top = _outline(drawn.edges, row, bars=drawn.values is not None)
        ax.fill_between(x, -place, top - place, color=color, linewidth=0, zorder=2 * place + 2)
        ax.plot(x, top - place, color=ax.get_facecolor(), linewidth=0.8, zorder=2 * place + 3)
    _step_ticks(ax, [step for step, _ in chosen])
    ax.grid(visible=False, axis="y")
    label(ax, title=title, x="value", y="steps")
    if drawn.values is not None:
        ax.set_xticks(range(len(drawn.values)), [short_number(value) for value in drawn.values])
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
    points = spread(points)
    drawn = density(points, num_bins=num_bins)
    steps = np.array([step for step, _ in points], np.float64)
    ax = new_axes(ax)
    norm = _square_root_scale(1.0 if drawn.values is not None else None)
    mesh = ax.pcolormesh(_borders(steps), drawn.edges, drawn.shares.T, cmap="cividis", norm=norm, rasterized=True)
    ax.grid(visible=False)
    ax.set_ylim(drawn.edges[0], drawn.edges[-1])
    add_colorbar(ax, mesh, "share of values")
    label(ax, title=title, x="steps", y="value", steps=True)
    if drawn.values is None:
        _draw_quartiles(ax, steps, points)
    else:
        ax.set_yticks(range(len(drawn.values)), [short_number(value) for value in drawn.values])
    return figure_of(ax)


def _draw_quartiles(ax: Axes, steps: Array, points: Sequence[Point]) -> None:
    for values, width, name in zip(quartiles(points), (0.7, 1.4, 0.7), ("quartiles", "median", None), strict=True):
        ax.plot(steps, values, color="white", linewidth=width, label=name)
    add_legend(ax, color="white")


def _outline(edges: Array, heights: Array, *, bars: bool) -> tuple[Array, Array]:
    """The points of a ridge: through the middles of the bins, or around a bar for each value."""
    middles = (edges[1:] + edges[:-1]) / 2
    if not bars:
        return middles, heights
    around = np.tile(np.array([-0.3, -0.3, 0.3, 0.3]), len(middles))
    return np.repeat(middles, 4) + around, np.kron(heights, np.array([0.0, 1.0, 1.0, 0.0]))


def _borders(steps: Array) -> Array:
    """Borders [n + 1] half-way between neighboring steps."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middles = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middles[0]], middles, [2 * steps[-1] - middles[-1]]])


def _step_ticks(ax: Axes, steps: Sequence[int]) -> None:
    places = np.unique(np.linspace(0, len(steps) - 1, min(6, len(steps))).round().astype(int))
    ax.set_yticks(-places, short_numbers([steps[place] for place in places]))


def _mixed(recency: float, background: Color) -> Color:
    """From near the background for the oldest to the palette's blue for the newest."""
    from matplotlib.colors import to_rgb  # noqa: PLC0415

    strength = 0.15 + 0.85 * recency
    mixed = strength * np.array(to_rgb(PALETTE[0])) + (1 - strength) * np.array(to_rgb(background))
    return tuple(mixed.tolist())


def _square_root_scale(highest: float | None) -> Normalize:
    """A color scale from 0 on which the tails of a narrow distribution can still be seen."""
    from matplotlib.colors import PowerNorm  # noqa: PLC0415

    return PowerNorm(0.5, vmin=0.0, vmax=highest)
