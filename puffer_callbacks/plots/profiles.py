"""Figures of final scores: performance profiles and the probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_callbacks.plots.statistics import (
    as_scores,
    bootstrap_interval,
    improvement_probability,
    performance_profile,
)
from puffer_callbacks.plots.style import PALETTE, add_legend, curve_style, figure_of, label, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def performance_profiles(
    scores: Mapping[str, ArrayLike],
    *,
    thresholds: ArrayLike | None = None,
    confidence: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
    xlabel: str = "return τ",
    ax: Axes | None = None,
) -> Figure:
    """A figure of performance profiles: the share of runs that score above each threshold, with its band.

    Where one curve lies above another everywhere, its algorithm is stochastically better (Agarwal et al. 2021,
    section 4.2).

    Args:
        scores: name to scores [runs, tasks].
        thresholds: where the share is taken; 101 over the range of all scores by default.
        confidence: of the band, between 0 and 1.
        repetitions: of the bootstrap.
        seed: of the bootstrap.
        xlabel: what the scores are.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if there are no scores, or one is not finite.

    Example:
        >>> figure = performance_profiles({"PPO": [480, 495, 500], "A2C": [210, 350, 500]})
    """
    arrays = _checked(scores)
    taus = _thresholds(arrays) if thresholds is None else np.asarray(thresholds, np.float64)
    profile = partial(performance_profile, thresholds=taus)
    ax = new_axes(ax)
    for place, (name, array) in enumerate(arrays.items()):
        (line,) = ax.step(taus, profile(array), where="post", **curve_style(place, name, ax))
        low, high = bootstrap_interval(profile, array, confidence=confidence, repetitions=repetitions, seed=seed)
        ax.fill_between(taus, low, high, step="post", color=line.get_color(), alpha=0.2, linewidth=0)
    label(ax, title="Performance profile", x=xlabel, y="share of runs above τ")
    ax.set_ylim(-0.02, 1.02)
    add_legend(ax, f"{confidence:.0%} bootstrap interval")
    return figure_of(ax)


def probability_of_improvement(
    scores: Mapping[str, ArrayLike],
    *,
    baseline: str | None = None,
    confidence: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """A figure of how likely each algorithm beats a baseline, with its interval.

    P(X > Y) of a run of X and a run of Y on the same task, ties counted half (Agarwal et al. 2021, section 4.3).
    An interval that holds 0.5 shows no difference.

    Args:
        scores: name to scores [runs, tasks], the same tasks for all.
        baseline: the name to compare with; the last one by default.
        confidence: of the interval, between 0 and 1.
        repetitions: of the bootstrap.
        seed: of the bootstrap.
        ax: axes to draw in; a new figure by default.

    Returns:
        The figure of the axes.

    Raises:
        ValueError: if ``baseline`` is unknown, or there is nothing to compare with it.

    Example:
        >>> figure = probability_of_improvement({"PPO": [480, 495, 500], "A2C": [210, 350, 500]})
    """
    arrays = _checked(scores)
    against = baseline if baseline is not None else list(arrays)[-1]
    others = [name for name in arrays if name != against]
    if against not in arrays or not others:
        raise ValueError(f"baseline: expected one of {list(arrays)} and another to compare with, got {against!r}")
    ax = new_axes(ax, size=(6.0, 1.3 + 0.5 * len(others)))
    for place, name in enumerate(reversed(others)):
        point = improvement_probability(arrays[name], arrays[against])
        low, high = bootstrap_interval(
            improvement_probability,
            arrays[name],
            arrays[against],
            confidence=confidence,
            repetitions=repetitions,
            seed=seed,
        )
        ax.barh(place, high - low, left=low, height=0.5, color=PALETTE[0], alpha=0.3, linewidth=0)
        ax.plot([point, point], [place - 0.25, place + 0.25], color=PALETTE[0])
    ax.axvline(0.5, color="#888888", linestyle=":", linewidth=1)
    ax.set_xlim(-0.02, 1.02)
    ax.set_yticks(range(len(others)), [f"{name} > {against}" for name in reversed(others)])
    ax.grid(visible=False, axis="y")
    label(ax, title="Probability of improvement", x=f"P(X > Y), {confidence:.0%} interval")
    return figure_of(ax)


def _checked(scores: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float64]]:
    if not scores:
        raise ValueError("scores: expected name to scores [runs, tasks], got none")
    return {name: as_scores(values) for name, values in scores.items()}


def _thresholds(arrays: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    pooled = np.concatenate([array.ravel() for array in arrays.values()])
    margin = 0.02 * (float(np.ptp(pooled)) or 1.0)
    return np.linspace(pooled.min() - margin, pooled.max() + margin, 101)
