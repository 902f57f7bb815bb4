"""Observations: their spread, their scale, whether they move, and whether they change when an episode ends."""

import numpy as np

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.sample import Sample


def observation_statistics(sample: Sample) -> dict[str, float]:
    """Spread and scale of the observations of a rollout.

    Returns:
        ``diagnostics/observation_constant_fraction``, the share of dimensions that do not vary;
        ``diagnostics/observation_scale``, the largest root mean square of a dimension;
        ``diagnostics/observation_repeat_fraction``, the share of steps after which nothing changed;
        ``diagnostics/reset_delay_fraction``, see ``reset_delay_fraction``.
    """
    observations = sample.observations
    if observations is None or not np.isfinite(observations).all() or len(observations) < 2:
        return {}
    spread = observations.std(axis=(0, 1))
    unchanged = (observations[1:] == observations[:-1]).all(-1)
    values = {
        "diagnostics/observation_constant_fraction": float((spread <= 1e-12).mean()),
        "diagnostics/observation_scale": float(np.sqrt(np.square(observations).mean((0, 1)).max())),
        "diagnostics/observation_repeat_fraction": float(unchanged.mean()),
    }
    delay = reset_delay_fraction(sample, spread)
    return values if delay is None else values | {"diagnostics/reset_delay_fraction": delay}


def reset_delay_fraction(sample: Sample, spread: Floats) -> float | None:
    """The share of episode ends after which the observation changes one step late.

    An episode's end is followed by the first observation of the next one, far from the last. Where the jump comes
    one step later, observations and actions are not of the same time. A jump is a change larger than three times
    the median change of an ordinary step, in units of each dimension's spread.

    Args:
        sample: of a rollout.
        spread: the standard deviation of each dimension, [D].

    Returns:
        A share in [0, 1]; ``None`` where fewer than three ends show a jump at all.
    """
    observations, dones = sample.observations, sample.dones
    if observations is None or dones is None or len(observations) < 4 or not dones[:-2].any():
        return None
    scaled = observations[..., spread > 1e-12] / spread[spread > 1e-12]
    if scaled.shape[-1] == 0:
        return None
    changes: Floats = np.sqrt(np.square(np.diff(scaled, axis=0)).sum(-1))  # [T - 1, M]; row t is from t to t + 1
    ends = dones[:-2] & ~dones[1:-1]
    ordinary = ~dones[:-2] & ~dones[1:-1]
    ordinary[1:] &= ~dones[:-3]
    if not ordinary.any():
        return None
    threshold = 3 * np.median(changes[:-1][ordinary])
    at_once, late = changes[:-1][ends], changes[1:][ends]
    jumps = np.maximum(at_once, late) > threshold
    return float((late > at_once)[jumps].mean()) if jumps.sum() >= 3 else None
