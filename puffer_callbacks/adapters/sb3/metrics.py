"""The log of a Stable-Baselines3 algorithm, under the names that all algorithms share."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.values.scalars import Scalar, scalars_of

_SHARED = {
    "policy_gradient_loss": ("policy_loss", 1.0),
    "actor_loss": ("policy_loss", 1.0),
    "critic_loss": ("value_loss", 1.0),
    "entropy_loss": ("entropy", -1.0),
}
"""Stable-Baselines3's name to the shared one, and the sign it has there."""


def unlogged_scalars(logged: Mapping[str, Any]) -> dict[str, Scalar]:
    """The scalars that are neither an update's nor logged by the callbacks in any case.

    Example:
        >>> unlogged_scalars({"train/loss": 1.0, "time/fps": 100, "rollout/ep_rew_mean": 9.5, "mine": 2.0})
        {'rollout/ep_rew_mean': 9.5, 'mine': 2.0}
    """
    logged_anyway = ("train/", "time/", "rollout/success_rate")
    return {tag: value for tag, value in scalars_of(logged).items() if not tag.startswith(logged_anyway)}


def train_metrics(logged: Mapping[str, Any]) -> dict[str, Scalar]:
    """An update's ``train/…`` values, under their own names and those that all algorithms share.

    Example:
        >>> train_metrics({"train/entropy_loss": -0.5, "time/fps": 100})
        {'entropy_loss': -0.5, 'entropy': 0.5}
    """
    of_update = {tag.removeprefix("train/"): value for tag, value in logged.items() if tag.startswith("train/")}
    of_update.pop("n_updates", None)
    metrics: dict[str, Scalar] = {}
    for name, value in scalars_of(of_update).items():
        metrics[name] = value
        if name in _SHARED:
            shared, sign = _SHARED[name]
            metrics[shared] = sign * value
    return metrics
