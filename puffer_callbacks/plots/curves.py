"""Learning curves over seeds, with the band that few runs allow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from puffer_callbacks.plots.diagnostics import steps_label
from puffer_callbacks.plots.scores import Groups, curves, group_runs
from puffer_callbacks.plots.statistics import as_scores, bootstrap_interval, named_statistic
from puffer_callbacks.plots.style import add_legend, curve_style, figure_of, label, new_axes
from puffer_callbacks.values.vocabulary import unit_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from puffer_callbacks.runs import Run


def learning_curves(
    scores: Mapping[str, ArrayLike],
    steps: Mapping[str, ArrayLike] | ArrayLike,
    *,
    statistic: str = "iqm",
    confidence: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
    title: str = "",
    xlabel: str = "steps",
    ylabel: str = "return",
    ax: Axes | None = None,
) -> Figure:
    """A figure of learning curves: the interquartile mean over runs and its stratified bootstrap band.

    As rliable's sample-efficiency curves (Agarwal et al. 2021, figure 7); every point has its own interval.

    Args:
        scores: name to scores [runs, tasks, points].
        steps: [points] of all, or name to [points].
        statistic: ``"iqm"`` or ``"mean"``.
        confidence: of the band, between 0 and 1.
        repetitions: of the bootstrap.
        seed: of the bootstrap.
        title: above the axes.
        xlabel: what the steps count.
        ylabel: what the scores are, with their unit.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if ``statistic`` is unknown, or scores and steps do not fit.

    Example:
        >>> figure = learning_curves({"PPO": np.random.rand(5, 1, 20)}, np.arange(20))
    """
    reduce, statistic_name = named_statistic(statistic)
    ax = new_axes(ax)
    for place, name in enumerate(scores):
        array = as_scores(scores[name])
        x = np.asarray(steps[name] if isinstance(steps, Mapping) else steps)
        if array.shape[2:] != x.shape:
            raise ValueError(f"scores: expected [runs, tasks, {len(x)}] for {name!r}, got {array.shape}")
        (line,) = ax.plot(x, reduce(array), **curve_style(place, name, ax))
        if len(array) > 1:
            band = bootstrap_interval(reduce, array, confidence=confidence, repetitions=repetitions, seed=seed)
            ax.fill_between(x, *band, color=line.get_color(), alpha=0.2, linewidth=0)
    label(ax, title=title, x=xlabel, y=ylabel, steps=True)
    add_legend(ax, f"{statistic_name}, {confidence:.0%} bootstrap interval")
    return figure_of(ax)


def compare(
    runs: Run | Iterable[Run] | Groups,
    tag: str = "train/reward",
    *,
    by: str | None = None,
    statistic: str = "iqm",
    confidence: float = 0.95,
    points: int = 200,
    repetitions: int = 2000,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """A figure that compares groups of runs by one tag: a curve and its band for each group.

    Args:
        runs: the seeds of one algorithm, or name to seeds: ``{"PPO": [...], "A2C": [...]}``.
        tag: the series, by our name for it or by the one in the files.
        by: a hyperparameter to group the runs by.
        statistic: ``"iqm"`` (interquartile mean) or ``"mean"``.
        confidence: of the band, between 0 and 1.
        points: steps at which the runs of a group are compared, over the range that all of them cover.
        repetitions: of the bootstrap.
        seed: of the bootstrap.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if there is no run, or one lacks the tag or the hyperparameter; near names are offered.

    Example:
        ``compare(read_runs("runs/*"), "train/reward", by="learning_rate")``
    """
    groups = group_runs(runs, by)
    on_steps = {name: curves(members, tag, points=points) for name, members in groups.items()}
    named = {name: f"{name} ({len(members)})" if len(groups) > 1 else name for name, members in groups.items()}
    return learning_curves(
        {named[name]: scores for name, (_, scores) in on_steps.items()},
        {named[name]: steps for name, (steps, _) in on_steps.items()},
        statistic=statistic,
        confidence=confidence,
        repetitions=repetitions,
        seed=seed,
        title=tag,
        xlabel=steps_label([run for members in groups.values() for run in members]),
        ylabel=unit_of(tag) or "value",
        ax=ax,
    )
