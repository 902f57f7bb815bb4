"""A figure of one run's health: the panels that people look at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from puffer_callbacks.plots.scores import as_runs, curve, run_names
from puffer_callbacks.plots.style import (
    add_figure_legend,
    colors,
    figure_of,
    label,
    legend_height,
    legend_name,
    line_style,
    new_grid,
)
from puffer_callbacks.values.tags import as_names
from puffer_callbacks.values.vocabulary import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from puffer_callbacks.runs import Run

PANELS = (
    "train/reward",
    "train/episode_length",
    "train/entropy",
    "diagnostics/approx_kl",
    "diagnostics/clip_fraction",
    "diagnostics/explained_variance",
    "train/value_loss",
    "gradient_norm/total",
    "throughput/sps",
)
"""The tags of ``diagnostics``, where a run has them."""


def diagnostics(runs: Run | Iterable[Run], *, tags: str | Sequence[str] = PANELS, columns: int = 3) -> Figure:
    """A figure with a panel for each tag, the runs overlaid.

    Args:
        runs: one run or several.
        tags: the panels; those that no run has are left out.
        columns: panels beside each other.

    Returns:
        A new figure.

    Raises:
        ValueError: if no run has any of the tags.

    Example:
        ``diagnostics(read_run("runs/exp1"))``
    """
    given = as_runs(runs)
    shown = [tag for tag in as_names(tags) if any(_has(run, tag) for run in given)]
    if not shown:
        raise ValueError(f"tags: expected one that a run has, got {list(as_names(tags))}")
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    panels = new_grid(rows, columns, size=(3.4 * columns, 2.4 * rows + legend_height(len(given), columns)))
    for ax, tag in zip(panels, shown, strict=False):
        draw_panel(ax, given, tag)
    for ax in panels[len(shown) :]:
        ax.set_visible(False)
    if len(given) > 1:
        add_figure_legend(panels, columns)
    return figure_of(panels[0])


def draw_panel(ax: Axes, runs: Sequence[Run], tag: str) -> None:
    """Draw one tag of the runs that have it; a line of the same color is the same run."""
    palette = list(colors([str(place) for place in range(len(runs))], ax).values())
    for place, (run, name) in enumerate(zip(runs, run_names(runs), strict=True)):
        if _has(run, tag):
            steps, values = curve(run, tag)
            marker = "o" if np.isfinite(values).sum() == 1 else ""
            (line,) = ax.plot(steps, values, color=palette[place], marker=marker, linewidth=1.2)
            line.set(linestyle=line_style(place), label=legend_name(name))
    description = describe(tag)
    label(ax, title=tag, x=steps_label(runs), y=description.unit if description else "", steps=True)


def steps_label(runs: Sequence[Run]) -> str:
    """What the steps of the runs count, such as ``environment steps``."""
    kinds = {run.x_axis for run in runs}
    kind = kinds.pop() if len(kinds) == 1 else "steps"
    return kind.replace("env_", "environment ").replace("_", " ")


def _has(run: Run, tag: str) -> bool:
    try:
        curve(run, tag)
    except ValueError:
        return False
    return True
