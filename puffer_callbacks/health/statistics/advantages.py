"""Advantages, held against the recurrences of their estimators, which they have to satisfy."""

import numpy as np
import numpy.typing as npt

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.sample import Sample

_MIN_ROWS = 16
_MOST_STEPS = 8
_ROWS_OF_EACH_TERM = 4


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
        ``diagnostics/leak_fraction``, the share of episode ends over which the recurrence runs on, as if the episode
        had not ended (0 in a correct one). None of them where advantages or values do not vary.
    """
    advantages, values, rewards, dones = sample.advantages, sample.values, sample.rewards, sample.dones
    if advantages is None or values is None or rewards is None or dones is None or len(advantages) < 2:
        return {}
    columns = np.stack([advantages[1:], values[1:], values[:-1], rewards[:-1]], -1)
    if not (np.isfinite(columns).all() and np.isfinite(advantages).all()):
        return {}
    inside = ~dones[:-1]
    rows, targets = columns[inside], advantages[:-1][inside]
    # below this, float32 itself decides
    if len(rows) < _MIN_ROWS or min(targets.std(), rows[:, 2].std()) <= 1e-5 * (1 + np.abs(rows).max()):
        return {}
    coefficients, constant, fit = _least_squares(rows, targets)
    if fit < 0.99:
        of_steps = _fit_of_steps(advantages, values, rewards, dones)
        return {"diagnostics/advantage_fit": of_steps if of_steps > 0.99 else fit}
    statistics = {"diagnostics/advantage_fit": fit}
    if coefficients[2] != 0:
        statistics["diagnostics/advantage_sign"] = float(-np.sign(coefficients[2]))
        statistics["diagnostics/estimated_gamma"] = float(-coefficients[1] / coefficients[2])
        ends = dones[:-1]
        if ends.sum() >= 3:
            errors = advantages[:-1][ends] - _predict(columns[ends], rows, coefficients, constant)
            leaks = np.abs(errors) < 1e-2 * targets.std()
            statistics["diagnostics/leak_fraction"] = float((leaks & _visible(columns[ends], coefficients)).mean())
    return statistics


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
            coefficients, _, fit = _least_squares(rows, targets)
            of_values = coefficients[: steps + 1]
            return fit if of_values[0] < 0 and np.argmax(np.abs(of_values)) == 0 else 0.0
    return 0.0


def _least_squares(rows: Floats, targets: Floats) -> tuple[Floats, float, float]:
    """Coefficients, constant and share of explained variance; columns are scaled, so that small ones count too."""
    means, scales = rows.mean(0), rows.std(0)
    scales = np.where(scales > 1e-12 * (1 + np.abs(means)), scales, np.inf)  # a constant column gets coefficient 0
    scaled, centered = (rows - means) / scales, targets - targets.mean()
    solution = np.linalg.lstsq(scaled, centered, rcond=1e-10)[0]
    residual = centered - scaled @ solution
    coefficients = solution / scales
    constant = float(targets.mean() - means @ coefficients)
    return coefficients, constant, float(1 - (residual @ residual) / (centered @ centered))


def _predict(columns: Floats, rows: Floats, coefficients: Floats, constant: float) -> Floats:
    """What the recurrence gives; where rewards never varied, a reward counts as much as −V_t does."""
    if coefficients[3] == 0:
        reward = rows[0, 3]
        coefficients = coefficients.copy()
        coefficients[3] = -coefficients[2]
        constant -= coefficients[3] * reward
    prediction: Floats = columns @ coefficients + constant
    return prediction


def _visible(columns: Floats, coefficients: Floats) -> Floats:
    """Where a leak would be seen: what flows back from the next step is not about zero."""
    flow = columns[:, 0] * coefficients[0] + columns[:, 1] * coefficients[1]
    visible: Floats = np.abs(flow) > 5e-2 * np.abs(columns @ np.abs(coefficients)).mean()
    return visible
