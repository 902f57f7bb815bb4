"""A figure of runs by hyperparameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from puffer_callbacks.plots.curves import STATISTICS
from puffer_callbacks.plots.scores import final_scores, group_runs, hyperparameter
from puffer_callbacks.plots.statistics import bootstrap_interval
from puffer_callbacks.plots.style import PALETTE, add_legend, figure_of, label, new_axes
from puffer_callbacks.values.vocabulary import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from puffer_callbacks.runs import Run


def by_hyperparameter(
    runs: Iterable[Run],
    name: str,
    tag: str = "train/reward",
    *,
    fraction: float = 0.1,
    statistic: str = "iqm",
    confidence: float = 0.95,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """A figure of the final score by a hyperparameter: a dot for each run, the interquartile mean and its interval.

    Args:
        runs: the runs of a sweep.
        name: the hyperparameter, such as ``learning_rate``.
        tag: the score is the mean of this series over the last part of the run.
        fraction: that last part, above 0 and at most 1.
        statistic: ``"iqm"`` (interquartile mean) or ``"mean"``.
        confidence: of the interval, between 0 and 1.
        seed: of the bootstrap.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if there is no run, or one lacks the tag or the hyperparameter; near names are offered.

    Example:
        ``by_hyperparameter(read_runs("runs/*"), "learning_rate")``
    """
    reduce, statistic_name = STATISTICS[statistic]
    groups = group_runs(runs, name)
    ax = new_axes(ax)
    for place, members in enumerate(groups.values()):
        scores = final_scores(members, tag, fraction=fraction)
        spread = np.linspace(-0.08, 0.08, len(scores)) if len(scores) > 1 else [0.0]
        ax.plot(place + np.asarray(spread), scores[:, 0], "o", color=PALETTE[5], zorder=3, label=_once("runs", place))
        middle, mark = float(reduce(scores)), _once(f"{statistic_name}, {confidence:.0%}", place)
        low, high = (
            bootstrap_interval(reduce, scores, confidence=confidence, seed=seed)
            if len(scores) > 1
            else (middle, middle)
        )
        error = [[max(0.0, middle - low)], [max(0.0, high - middle)]]
        ax.errorbar(
            place, middle, error, fmt="_", color=PALETTE[0], markersize=18, capsize=4, linewidth=1.6, label=mark
        )
    description = describe(tag)
    unit = description.unit if description else ""
    names = [str(hyperparameter(members[0], name)) for members in groups.values()]
    ax.set_xticks(range(len(names)), names)
    ax.margins(x=0.15)
    ax.grid(visible=False, axis="x")
    label(ax, title=f"{tag} over the last {fraction:.0%}", x=name, y=unit or "value")
    add_legend(ax, "")
    return figure_of(ax)


def _once(name: str, place: int) -> str | None:
    """The name for the first of many like ones, so that the legend has it once."""
    return name if place == 0 else None
