"""Observations: their spread, their scale, whether they move, and whether they change when an episode ends."""

import numpy as np
import numpy.typing as npt

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.sample import Sample

_MORE_COMMON = 3
_FAR = 2
"""Times the step beside it, of a jump among ordinary ones."""


def observation_statistics(sample: Sample, *, are_bytes: bool = False) -> dict[str, float]:
    """Spread and scale of the observations of a rollout.

    Args:
        sample: of the rollout.
        are_bytes: whether they are bytes, as pictures are, which networks scale themselves.

    Returns:
        ``diagnostics/observation_constant_fraction``, the share of dimensions that do not vary;
        ``diagnostics/observation_scale``, the largest root mean square of a dimension, none of bytes;
        ``diagnostics/observation_repeat_fraction``, the share of steps after which nothing changed;
        and what ``reset_statistics`` returns.
    """
    observations = sample.observations
    if observations is None or not np.isfinite(observations).all() or len(observations) < 2:
        return {}
    spread = observations.std(axis=(0, 1))
    unchanged = (observations[1:] == observations[:-1]).all(-1)
    values = {
        "diagnostics/observation_constant_fraction": float((spread <= 1e-12).mean()),
        "diagnostics/observation_repeat_fraction": float(unchanged.mean()),
    }
    if not are_bytes:
        values["diagnostics/observation_scale"] = float(np.sqrt(np.square(observations).mean((0, 1)).max()))
    return values | reset_statistics(sample)


def reset_statistics(sample: Sample) -> dict[str, float]:
    """Whether the observation after an episode's end is the first one of the next episode.

    It is far from the last one, so the observation jumps there. A jump is a change larger than three times the median
    change of an ordinary step, in units of each dimension's spread. Where it comes one step later, observations and
    actions are not of the same time; or that step is the reset of Gymnasium's next-step autoreset, which ignores the
    action and whose reward is exactly 0.

    Returns:
        ``diagnostics/reset_step_fraction``, the share of jumps that follow a reset step, and
        ``diagnostics/reset_delay_fraction``, the share of others that come late; or, where observations jump a step
        before most ends, ``diagnostics/reset_early_fraction`` alone, the share of jumps that do. Nothing where fewer
        than three ends show a jump, or jumps are not far more common there than at other steps: between the states of
        a table, one-hot or by number, all steps are alike.
    """
    observations, dones = sample.observations, sample.dones
    if observations is None or dones is None or len(observations) < 4 or not dones[:-2].any():
        return {}
    changes = _changes(observations)
    ends = dones[:-2] & ~dones[1:-1]
    ordinary = ~dones[:-2] & ~dones[1:-1]
    ordinary[1:] &= ~dones[:-3]
    if not ordinary.any():
        return {}
    threshold = 3 * np.median(changes[:-1][ordinary])
    if not _mark_ends(changes > threshold, ends, ordinary):
        return {}
    at_once, late = changes[:-1][ends], changes[1:][ends]
    is_early = _early_jumps(changes, ends, threshold)
    if len(is_early) >= 3 and is_early.mean() > 0.5:
        return {"diagnostics/reset_early_fraction": float(is_early.mean())}
    jumps = np.maximum(at_once, late) > threshold
    if jumps.sum() < 3:
        return {}
    is_late = (late > at_once)[jumps]
    is_reset = np.zeros_like(is_late) if sample.rewards is None else is_late & (sample.rewards[1:-1][ends][jumps] == 0)
    return {
        "diagnostics/reset_delay_fraction": float((is_late & ~is_reset).mean()),
        "diagnostics/reset_step_fraction": float(is_reset.mean()),
    }


def _mark_ends(jumps: npt.NDArray[np.bool_], ends: npt.NDArray[np.bool_], ordinary: npt.NDArray[np.bool_]) -> bool:
    """Whether jumps are far more common at ends, or a step beside one, than three ordinary steps give by chance."""
    near = jumps[:-1] | jumps[1:]
    near[1:] |= jumps[:-2]
    by_chance = 1 - (1 - jumps[:-1][ordinary].mean()) ** 3
    return bool(near[ends].mean() > _MORE_COMMON * by_chance) if ends.any() else False


def _early_jumps(changes: Floats, ends: npt.NDArray[np.bool_], threshold: float) -> npt.NDArray[np.bool_]:
    """Of each end at which observations jump, whether they do so one step before it, and not there or a step after.

    Between the states of a table the steps to one that is rare, and from there to the first one, are both large.
    """
    inner = ends[1:]
    early, later = changes[:-2][inner], np.maximum(changes[1:-1], changes[2:])[inner]
    is_early = (later <= threshold) & (early > _FAR * later)
    jumps: npt.NDArray[np.bool_] = is_early[np.maximum(early, later) > threshold]
    return jumps


def _changes(observations: Floats) -> Floats:
    """The length [T - 1, M] of each step's change, in units of each dimension's spread; row t is from t to t + 1."""
    spread = observations.std(axis=(0, 1))
    varies = spread > 1e-12
    changes: Floats = np.sqrt(np.square(np.diff(observations[..., varies] / spread[varies], axis=0)).sum(-1))
    return changes
