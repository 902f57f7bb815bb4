"""All statistics of one rollout."""

import numpy as np
import torch

from puffer_callbacks.health.statistics.actions import action_statistics
from puffer_callbacks.health.statistics.advantages import advantage_statistics
from puffer_callbacks.health.statistics.observations import observation_statistics
from puffer_callbacks.health.statistics.sample import Sample, sample_of
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.nonfinite import nonfinite_names

_FIELDS = ("observations", "rewards", "actions", "values", "log_probs", "advantages", "returns")


def rollout_statistics(rollout: Rollout, *, max_episode_steps: int | None = None) -> dict[str, float]:
    """What the rules look at in a rollout, as numbers by tag.

    Args:
        rollout: any; what it lacks is left out.
        max_episode_steps: the environment's time limit, where it is known.

    Example:
        >>> import torch
        >>> zeros = torch.zeros(4, 2)
        >>> rollout = Rollout(torch.zeros(4, 2, 3), zeros, zeros, zeros.bool())
        >>> rollout_statistics(rollout)["diagnostics/observation_constant_fraction"]
        1.0
    """
    sample = sample_of(rollout)
    return {
        **nonfinite_counts(rollout),
        **observation_statistics(sample, are_bytes=getattr(rollout.observations, "dtype", None) == torch.uint8),
        **action_statistics(sample, rollout.action_space),
        **reward_statistics(sample),
        **critic_statistics(sample),
        **advantage_statistics(sample),
        **episode_statistics(rollout, max_episode_steps=max_episode_steps),
    }


def nonfinite_counts(rollout: Rollout) -> dict[str, float]:
    """``nonfinite/rollout/<field>``: the NaN and infinite elements of each field that has some."""
    fields = {name: getattr(rollout, name) for name in _FIELDS}
    counts = {name: float((~fields[name].detach().isfinite()).sum()) for name in nonfinite_names(fields)}
    return {f"nonfinite/rollout/{name}": count for name, count in counts.items()}


def reward_statistics(sample: Sample) -> dict[str, float]:
    """``diagnostics/reward_scale`` (root mean square) and ``diagnostics/nonzero_reward_fraction``."""
    rewards = sample.rewards
    if rewards is None or not np.isfinite(rewards).all():
        return {}
    return {
        "diagnostics/reward_scale": float(np.sqrt(np.square(rewards).mean())),
        "diagnostics/nonzero_reward_fraction": float((rewards != 0).mean()),
    }


def critic_statistics(sample: Sample) -> dict[str, float]:
    """Spread of the critic's targets, values and advantages, and how far the values lie from their targets.

    Returns:
        ``diagnostics/return_std``, ``diagnostics/value_std``, ``diagnostics/advantage_std`` and
        ``diagnostics/value_error``, the root mean squared error over the root mean square of the targets.
    """
    named = {"return": sample.returns, "value": sample.values, "advantage": sample.advantages}
    arrays = {name: array for name, array in named.items() if array is not None and np.isfinite(array).all()}
    found = {f"diagnostics/{name}_std": float(array.std()) for name, array in arrays.items()}
    if {"return", "value"} <= arrays.keys():
        scale = np.sqrt(np.square(arrays["return"]).mean())
        error = np.sqrt(np.square(arrays["return"] - arrays["value"]).mean())
        if scale > 0:
            found["diagnostics/value_error"] = float(error / scale)
    return found


def episode_statistics(rollout: Rollout, *, max_episode_steps: int | None = None) -> dict[str, float]:
    """``diagnostics/done_fraction`` of all steps; ``diagnostics/time_limit_fraction`` of the finished episodes."""
    dones, found = rollout.dones, {}
    if dones is not None and dones.numel():
        found["diagnostics/done_fraction"] = float(dones.cpu().double().mean())
    lengths = rollout.episode_lengths
    if lengths is not None and len(lengths) and max_episode_steps:
        found["diagnostics/time_limit_fraction"] = float((lengths >= max_episode_steps).cpu().double().mean())
    return found
