"""The critic's targets, held against the advantages and values that they are made of."""

import numpy as np

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.least_squares import LinearFit, linear_fit
from puffer_callbacks.health.statistics.sample import Sample

_MOST_STEPS = 1024
_EXACT = 1e-6
_SHARP = 0.02
"""A coefficient's error, in units of what it has to be, with which it is known."""


def target_statistics(sample: Sample, recurrence: LinearFit) -> dict[str, float]:
    """The weights that advantages and values have in the critic's targets R.

    An advantage is a return less a value, so that R = A + V. Where A is scaled, and where R and V are normalized, by
    whatever numbers, R = α A + β V + const with β = c α, where −c is V's coefficient in the recurrence of A.

    Args:
        sample: of a rollout.
        recurrence: the fit of A_t by A_{t+1}, V_{t+1}, V_t and r_t.

    Returns:
        ``diagnostics/target_advantage_weight`` and ``diagnostics/target_value_weight``, c α and β over the larger
        one's magnitude: both 1 in a correct program. Nothing where R is no such sum, as returns of another estimator
        are not, and where advantages do not depend on values.
    """
    advantages, values, returns = sample.advantages, sample.values, sample.returns
    scale = -recurrence.coefficients[2]
    if advantages is None or values is None or returns is None or scale <= 0:
        return {}
    if not np.isfinite(returns).all() or returns.std() <= 1e-5 * (1 + np.abs(returns).max()):  # float32 decides
        return {}
    stride = -(-returns.size // _MOST_STEPS)
    fit = linear_fit(np.stack([advantages.ravel()[::stride], values.ravel()[::stride]], -1), returns.ravel()[::stride])
    weights: Floats = fit.coefficients * np.array([scale, 1.0])
    errors = fit.errors * np.array([scale, 1.0])
    largest = float(np.abs(weights).max())
    if 1 - fit.share > _EXACT or not (errors < _SHARP * largest).all():
        return {}
    return {
        "diagnostics/target_advantage_weight": float(weights[0]) / largest,
        "diagnostics/target_value_weight": float(weights[1]) / largest,
    }
