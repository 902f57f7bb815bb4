"""Advantages, held against the recurrences of their estimators, which they have to satisfy."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.episode_ends import end_statistics
from puffer_callbacks.health.statistics.least_squares import LinearFit, linear_fit
from puffer_callbacks.health.statistics.sample import Sample
from puffer_callbacks.health.statistics.value_targets import target_statistics

_MIN_ROWS = 16
_MOST_STEPS = 8
_ROWS_OF_EACH_TERM = 4
_SHARP = 0.02
"""Of −V_t's coefficient, the largest error with which a coefficient is known."""
_EXACT = 1e-6


def advantage_statistics(sample: Sample) -> dict[str, float]:
    """How well advantages agree with the rewards and values that they are made of.

    Within an episode A_t = r_t + γ V_{t+1} − V_t + γλ A_{t+1} (Schulman et al. 2016, arXiv:1506.02438, equation 16),
    whatever γ and λ are and however rewards and advantages are scaled. A least-squares fit of A_t by A_{t+1},
    V_{t+1}, V_t, r_t and 1 is therefore exact, and the coefficient of V_t is negative. Advantages of n steps are
    sums of n rewards and V_{t+n} − V_t (Mnih et al. 2016, arXiv:1602.01783), so that such a fit has n terms more.

    Returns:
        ``diagnostics/advantage_fit``, the share of the advantages' variance that the fit explains (1 in a correct
        program), of n steps where that one is exact; ``diagnostics/advantage_sign``, the sign of −V_t's coefficient
        (+1 in a correct one); ``diagnostics/estimated_gamma``, the ratio of the coefficients of V_{t+1} and −V_t;
        and what ``end_statistics`` and ``target_statistics`` return. None of them where advantages or values do not
        vary.
    """
    advantages, values, rewards, dones = sample.advantages, sample.values, sample.rewards, sample.dones
    if advantages is None or values is None or rewards is None or dones is None or len(advantages) < 2:
        return {}
    columns = np.stack([advantages[1:], values[1:], values[:-1], rewards[:-1]], -1)
    if not (np.isfinite(columns).all() and np.isfinite(advantages).all()):
        return {}
    inside = _inside(dones)
    rows, targets = columns[inside], advantages[:-1][inside]
    # below this, float32 itself decides
    if len(rows) < _MIN_ROWS or min(targets.std(), rows[:, 2].std()) <= 1e-5 * (1 + np.abs(rows).max()):
        return {}
    fit = linear_fit(rows, targets)
    if fit.share < 0.99:
        of_steps = _fit_of_steps(advantages, values, rewards, dones)
        return {"diagnostics/advantage_fit": of_steps if of_steps > 0.99 else fit.share}
    statistics = {"diagnostics/advantage_fit": fit.share}
    if fit.errors[2] < _SHARP * abs(fit.coefficients[2]):  # those of REINFORCE do not depend on values
        statistics["diagnostics/advantage_sign"] = float(-np.sign(fit.coefficients[2]))
        statistics |= end_statistics(columns, advantages[:-1], dones, rows=rows, fit=fit)
        statistics |= _gamma(rows, targets, fit, statistics) | target_statistics(sample, fit)
    return statistics


def _gamma(rows: Floats, targets: Floats, fit: LinearFit, of_ends: Mapping[str, float]) -> dict[str, float]:
    """The discount factor; 0 where only the ends of episodes look ahead."""
    if fit.errors[1] < _SHARP * abs(fit.coefficients[2]):
        return {"diagnostics/estimated_gamma": float(-fit.coefficients[1] / fit.coefficients[2])}
    turned_round = of_ends.get("diagnostics/plain_end_fraction") == 0 and _looks_at_no_next_step(rows, targets)
    return {"diagnostics/estimated_gamma": 0.0} if turned_round else {}


def _looks_at_no_next_step(rows: Floats, targets: Floats) -> bool:
    """Whether advantages inside episodes are r_t − V_t and no more: A_{t+1} and V_{t+1} then depend on each other."""
    return linear_fit(rows[:, 2:], targets).share > 1 - _EXACT


def _inside(dones: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The steps [T - 1, M] that are neither ends nor beside one, where a mask that is a step off would act."""
    inside = ~dones[:-1] & ~dones[1:]
    inside[0] = False  # what was before is unknown
    inside[1:] &= ~dones[:-2]
    return inside if inside.sum() >= _MIN_ROWS else ~dones[:-1]


def _fit_of_steps(advantages: Floats, values: Floats, rewards: Floats, dones: npt.NDArray[np.bool_]) -> float:
    """The share of the variance that the next rewards and values explain, as many as there are rows for.

    0 where it is not −V_t that counts most among the values: the advantages are then of other steps, or flipped.
    """
    for steps in range(min(_MOST_STEPS, len(values) - 1), 1, -1):
        shifted = [slice(at, len(values) - steps + at) for at in range(steps + 1)]
        inside = ~np.any([dones[at] for at in shifted[:-1]], axis=0)
        columns = [values[at] for at in shifted] + [rewards[at] for at in shifted[:-1]]
        rows, targets = np.stack(columns, -1)[inside], advantages[shifted[0]][inside]
        if len(rows) >= _ROWS_OF_EACH_TERM * len(columns) and targets.std() > 0:
            fit = linear_fit(rows, targets)
            of_values = fit.coefficients[: steps + 1]
            return fit.share if of_values[0] < 0 and np.argmax(np.abs(of_values)) == 0 else 0.0
    return 0.0
