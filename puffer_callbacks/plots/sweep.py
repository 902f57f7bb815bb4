"""A figure of runs by hyperparameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.scores import final_scores, group_runs
from puffer_callbacks.plots.statistics import bootstrap_interval, named_statistic
from puffer_callbacks.plots.style import PALETTE, add_legend, figure_of, label, new_axes
from puffer_callbacks.values.vocabulary import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from puffer_callbacks.runs import Run

_MOST_CHARACTERS = 60
"""Of all values together; more are written at an angle, where they do not overlap."""


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
    reduce, statistic_name = named_statistic(statistic)
    groups = group_runs(runs, name)
    ax = new_axes(ax)
    scores = [final_scores(members, tag, fraction=fraction) for members in groups.values()]
    dots = np.concatenate([place + _beside_each_other(len(each)) for place, each in enumerate(scores)])
    ax.plot(dots, np.concatenate(scores)[:, 0], "o", color=PALETTE[5], zorder=3, label="runs")
    middles = np.array([reduce(each) for each in scores])
    error = np.zeros((2, len(scores)))  # below and above
    for place, each in enumerate(scores):
        if len(each) > 1:
            low, high = bootstrap_interval(reduce, each, confidence=confidence, seed=seed)
            error[:, place] = max(0.0, middles[place] - low), max(0.0, high - middles[place])
    look: Any = {"fmt": "_", "color": PALETTE[0], "markersize": 18, "capsize": 4, "linewidth": 1.6}
    ax.errorbar(range(len(scores)), middles, error, label=f"{statistic_name}, {confidence:.0%}", **look)
    values = [group.removeprefix(f"{name} = ") for group in groups]
    is_crowded = sum(map(len, values)) > _MOST_CHARACTERS
    ax.set_xticks(range(len(values)), values, rotation=30 if is_crowded else 0, ha="right" if is_crowded else "center")
    ax.margins(x=0.15)
    ax.grid(visible=False, axis="x")
    label(ax, title=f"{tag} over the last {fraction:.0%}", x=name, y=unit_of(tag) or "value")
    add_legend(ax, "")
    return figure_of(ax)


def _beside_each_other(count: int) -> NDArray[np.float64]:
    return np.linspace(-0.08, 0.08, count) if count > 1 else np.zeros(1)
