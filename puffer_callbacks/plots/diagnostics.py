"""A figure of one run's health: the panels that people look at first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.scores import as_runs, curve, run_names
from puffer_callbacks.plots.style import add_figure_legend, curve_style, figure_of, label, legend_height, new_grid
from puffer_callbacks.values.tags import as_names
from puffer_callbacks.values.vocabulary import unit_of

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
    shown = [tag for tag in as_names(tags) if any(has_curve(run, tag) for run in given)]
    if not shown:
        raise ValueError(f"tags: expected one that a run has, got {list(as_names(tags))}")
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    width = 3.4 * columns
    panels = new_grid(rows, columns, size=(width, 2.4 * rows + legend_height(run_names(given), width)))
    for ax, tag in zip(panels, shown, strict=False):
        draw_panel(ax, given, tag)
    for ax in panels[len(shown) :]:
        ax.set_visible(False)
    if len(given) > 1:
        add_figure_legend(panels)
    return figure_of(panels[0])


def draw_panel(ax: Axes, runs: Sequence[Run], tag: str) -> None:
    """Draw one tag of the runs that have it; a line of the same color is the same run."""
    for place, (run, name) in enumerate(zip(runs, run_names(runs), strict=True)):
        if has_curve(run, tag):
            steps, values = curve(run, tag)
            (line,) = ax.plot(steps, values, linewidth=1.2, **curve_style(place, name, ax))
            if (alone := _alone(values)).size:  # no dots in the legends of others
                line.set(marker="o", markersize=4, markevery=alone)
    first, last = steps_range(runs)
    margin = 0.03 * (last - first)
    ax.set_xlim(first - margin, last + margin)  # of the runs: all panels have one axis
    label(ax, title=tag, x=steps_label(runs), y=unit_of(tag), steps=True)


def _alone(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Where a value stands between two gaps, which no line reaches."""
    gap = np.pad(np.isnan(values), 1, constant_values=True)
    return np.flatnonzero(~gap[1:-1] & gap[:-2] & gap[2:])


def steps_range(runs: Sequence[Run]) -> tuple[int, int]:
    """The first and the last step of all runs; a single step has room on both sides."""
    first, last = min(run.first_step for run in runs), max(run.last_step for run in runs)
    return (first, last) if first < last else (first - 1, last + 1)


def steps_label(runs: Sequence[Run]) -> str:
    """What the steps of the runs count, such as ``environment steps``."""
    kinds = {run.x_axis for run in runs}
    kind = kinds.pop() if len(kinds) == 1 else "steps"
    return kind.replace("env_", "environment ").replace("_", " ")


def has_curve(run: Run, tag: str) -> bool:
    """Whether the run has a finite value of the tag."""
    try:
        curve(run, tag)
    except ValueError:
        return False
    return True
