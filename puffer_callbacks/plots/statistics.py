"""Statistics of few runs: interquartile mean, stratified bootstrap, profiles, probability of improvement.

After Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice"
(https://arxiv.org/abs/2108.13264). Scores are arrays [runs, tasks, ...]: a row for each seed, a column for each
environment. With the same seed the numbers are those of the authors' library, rliable.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Scores = NDArray[np.float64]


def as_scores(scores: ArrayLike) -> Scores:
    """Scores as float64 [runs, tasks, ...]; one number per run is one task.

    Raises:
        ValueError: if there is no run, or a score is NaN or infinite.

    Example:
        >>> as_scores([1, 2, 3]).shape
        (3, 1)
    """
    array = np.asarray(scores, np.float64)
    array = array[:, None] if array.ndim == 1 else array
    if array.ndim < 2 or array.size == 0:
        raise ValueError(f"scores: expected the shape [runs, tasks], got {np.shape(scores)}")
    if not np.isfinite(array).all():
        raise ValueError(f"scores: expected finite numbers, got {int((~np.isfinite(array)).sum())} that are not")
    return array


def interquartile_mean(scores: ArrayLike) -> Any:
    """Mean of the middle half of all runs and tasks: the quarter at each end is left out.

    Args:
        scores: [runs, tasks, ...]; with fewer than four scores nothing is left out.

    Returns:
        A float64 of the remaining shape [...], a scalar for [runs, tasks].

    Example:
        >>> float(interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100]))
        3.5
    """
    array = as_scores(scores)
    pooled = np.sort(array.reshape(-1, *array.shape[2:]), axis=0)
    cut = len(pooled) // 4
    return pooled[cut : len(pooled) - cut].mean(axis=0)


def mean(scores: ArrayLike) -> Any:
    """Mean of all runs and tasks, of the shape [...] for scores [runs, tasks, ...].

    Example:
        >>> float(mean([1, 2, 3]))
        2.0
    """
    return as_scores(scores).mean(axis=(0, 1))


_STATISTICS = {"iqm": (interquartile_mean, "interquartile mean"), "mean": (mean, "mean")}


def named_statistic(statistic: str) -> tuple[Callable[[ArrayLike], Any], str]:
    """What figures show of several runs, and its name in a legend.

    Args:
        statistic: ``"iqm"`` or ``"mean"``.

    Raises:
        ValueError: if it is another.
    """
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic: expected one of {list(_STATISTICS)}, got {statistic!r}")
    return _STATISTICS[statistic]


def bootstrap_interval(
    statistic: Callable[..., Any],
    *samples: ArrayLike,
    confidence: float = 0.95,
    repetitions: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Percentile interval of a statistic by stratified bootstrap: runs are redrawn within each task.

    Args:
        statistic: of as many score arrays as ``samples``.
        samples: scores [runs, tasks, ...]; each is redrawn by itself.
        confidence: the share of repetitions inside the interval, between 0 and 1.
        repetitions: how often the runs are redrawn.
        seed: the same seed gives the same interval.

    Returns:
        float64 [2, ...]: the lower and the upper bound.

    Raises:
        ValueError: if ``confidence`` or ``repetitions`` is out of range.

    Example:
        >>> bootstrap_interval(interquartile_mean, [1, 2, 3, 4, 5], seed=1)
        array([1.65833333, 4.66666667])
    """
    if not 0 < confidence < 1 or repetitions < 1:
        given = f"{confidence} and {repetitions}"
        raise ValueError(f"bootstrap: expected confidence between 0 and 1 and repetitions of at least 1, got {given}")
    arrays = [as_scores(sample) for sample in samples]
    rng = np.random.RandomState(seed)  # NumPy's older generator: rliable draws from it, and the numbers agree
    redrawn = [statistic(*(_redraw(array, rng) for array in arrays)) for _ in range(repetitions)]
    tail = (1 - confidence) / 2
    interval: NDArray[np.float64] = np.quantile(np.asarray(redrawn), [tail, 1 - tail], axis=0)
    return interval


def performance_profile(scores: ArrayLike, thresholds: ArrayLike) -> NDArray[np.float64]:
    """Share of runs, over all tasks, that score above each threshold.

    Args:
        scores: [runs, tasks].
        thresholds: [thresholds].

    Returns:
        float64 [thresholds].

    Example:
        >>> performance_profile([1, 2, 3, 4], [0, 2.5, 5])
        array([1. , 0.5, 0. ])
    """
    ordered = np.sort(as_scores(scores), axis=None)
    return 1 - np.searchsorted(ordered, np.asarray(thresholds, np.float64), side="right") / ordered.size


def improvement_probability(scores: ArrayLike, baseline: ArrayLike) -> float:
    """Probability that a run of one algorithm scores above one of another on the same task, ties counted half.

    The Mann–Whitney U statistic over the number of pairs, averaged over tasks.

    Args:
        scores: [runs, tasks].
        baseline: [other runs, tasks].

    Raises:
        ValueError: if the two do not have the same tasks.

    Example:
        >>> improvement_probability([2, 3], [1, 2])
        0.875
    """
    ours, theirs = as_scores(scores), as_scores(baseline)
    if ours.shape[1:] != theirs.shape[1:]:
        raise ValueError(f"scores: expected the same tasks, got the shapes {ours.shape} and {theirs.shape}")
    return float(((np.sign(ours[:, None] - theirs[None]) + 1) / 2).mean())


def _redraw(scores: Scores, rng: np.random.RandomState) -> Scores:
    """Runs drawn with replacement, for each task by itself."""
    return np.take_along_axis(scores, rng.randint(0, len(scores), size=scores.shape), axis=0)
