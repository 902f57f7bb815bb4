"""Actions: how many are used, how often they lie at the bounds, how likely the policy found them."""

import math
from typing import Any

import numpy as np

from puffer_callbacks.health.series import Floats
from puffer_callbacks.health.statistics.sample import Sample

_OPEN, _MIN_STEPS = 0.3, 64
"""Nats of entropy from which on an action is open, and steps at which it has to be."""
_ERRORS, _FLOAT32 = 5.0, 1e-6


def action_statistics(sample: Sample, action_space: Any) -> dict[str, float]:
    """Use of the action space.

    Returns:
        Of choices ``diagnostics/dominant_action_fraction``, the share of the most frequent one;
        ``diagnostics/action_entropy``, the entropy of their frequencies over log n; and where log-probabilities are
        known ``diagnostics/max_probability`` of an action taken, and ``diagnostics/log_prob_spread``, the standard
        deviation of the log-probability of one and the same action over observations, averaged over actions.
        Of bounded real actions ``diagnostics/saturated_action_fraction``, the share at a bound or beyond; and
        ``diagnostics/action_spread``, the standard deviation of the actions in units of half the range;
        ``diagnostics/log_prob_spread``, see ``_spread``. And of choices ``diagnostics/sampling_bias``, see
        ``sampling_bias``.
    """
    actions = sample.actions
    if actions is None or not np.isfinite(actions).all():
        return {}
    num_actions = getattr(action_space, "n", None)
    if num_actions is not None:
        choices = _choices(actions, sample.log_probs, int(num_actions), int(getattr(action_space, "start", 0)))
        return choices | sampling_bias(sample.log_probs, sample.entropy)
    low, high = getattr(action_space, "low", None), getattr(action_space, "high", None)
    if low is None or high is None or not (np.isfinite(low).all() and np.isfinite(high).all()):
        return {}
    return _bounded(actions, np.ravel(low).astype(float), np.ravel(high).astype(float)) | _spread(actions, sample)


def _choices(actions: Floats, log_probs: Floats | None, num_actions: int, start: int) -> dict[str, float]:
    chosen = actions.astype(np.int64).ravel()
    first = 0 if chosen.min() < start else start  # some policies count from 0 and shift what they hand on
    frequencies = np.bincount(np.clip(chosen - first, 0, num_actions - 1), minlength=num_actions) / chosen.size
    used = frequencies[frequencies > 0]
    values = {"diagnostics/dominant_action_fraction": float(frequencies.max())}
    if num_actions > 1:
        values["diagnostics/action_entropy"] = float(-(used * np.log(used)).sum() / math.log(num_actions))
    if log_probs is not None and np.isfinite(log_probs).all():
        log_probs = log_probs.ravel()
        values["diagnostics/max_probability"] = float(np.exp(log_probs.max()))
        spreads = [(log_probs[chosen == action].std(), (chosen == action).mean()) for action in np.unique(chosen)]
        values["diagnostics/log_prob_spread"] = float(sum(spread * share for spread, share in spreads))
    return values


def sampling_bias(log_probs: Floats | None, entropy: Floats | None) -> dict[str, float]:
    """Whether actions were drawn from the distribution that their log-probabilities are of.

    Of a draw, log p has the mean −entropy, whatever the policy. Steps at which it is nearly certain are left out: there
    rare draws decide.

    Returns:
        ``diagnostics/sampling_bias``, the mean of log p + entropy over that of the entropy; 0 where it lies within five
        standard errors of 0.

    Example:
        >>> entropy = np.full((100, 1), np.log(2))
        >>> sampling_bias(-entropy, entropy)
        {'diagnostics/sampling_bias': 0.0}
        >>> sampling_bias(np.zeros((100, 1)), entropy)
        {'diagnostics/sampling_bias': 1.0}
    """
    if log_probs is None or entropy is None or not (np.isfinite(log_probs).all() and np.isfinite(entropy).all()):
        return {}
    open_steps = entropy > _OPEN
    if open_steps.sum() < _MIN_STEPS:
        return {}
    surplus = (log_probs + entropy)[open_steps]
    error = float(np.sqrt(np.square(surplus).mean() / len(surplus)))
    bias = float(surplus.mean())
    is_sure = abs(bias) > _ERRORS * error + _FLOAT32
    return {"diagnostics/sampling_bias": bias / float(entropy[open_steps].mean()) if is_sure else 0.0}


def _spread(actions: Floats, sample: Sample) -> dict[str, float]:
    """How much the log-probability of a normal distribution depends on anything but the action.

    Of a policy with the same mean everywhere it is a quadratic function of the action, so that nothing is left of it
    after a least-squares fit.
    """
    log_probs = sample.log_probs
    if log_probs is None or not np.isfinite(log_probs).all() or log_probs.size < 4 * actions.shape[-1] + 8:
        return {}
    rows = actions.reshape(-1, actions.shape[-1])
    terms = np.concatenate([np.ones((len(rows), 1)), rows, rows**2], axis=-1)
    solution = np.linalg.lstsq(terms, log_probs.ravel(), rcond=None)[0]
    return {"diagnostics/log_prob_spread": float((log_probs.ravel() - terms @ solution).std())}


def _bounded(actions: Floats, low: Floats, high: Floats) -> dict[str, float]:
    half = np.maximum((high - low) / 2, 1e-12)
    position = (actions - (low + high) / 2) / half
    return {
        "diagnostics/saturated_action_fraction": float((np.abs(position) >= 0.999).mean()),
        "diagnostics/action_spread": float(np.clip(position, -1, 1).std(axis=(0, 1)).mean()),
    }
