"""PuffeRL's losses and its log, under the names that all algorithms share."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.values.scalars import Scalar, scalars_of

_SHARED = {"clipfrac": "clip_fraction"}
_OWN = ("environment/", "performance/")


def update_metrics(losses: Mapping[str, Any]) -> dict[str, Scalar]:
    """PuffeRL's losses under the names that all algorithms share.

    Example:
        >>> update_metrics({"policy_loss": 0.5, "clipfrac": 0.1})
        {'policy_loss': 0.5, 'clip_fraction': 0.1}
    """
    return {_SHARED.get(name, name): value for name, value in scalars_of(losses).items()}


def unlogged_scalars(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars of PuffeRL's log that the callbacks do not log in any case.

    Example:
        >>> unlogged_scalars({"environment/score": 0.5, "losses/policy_loss": 0.1, "SPS": 1000})
        {'environment/score': 0.5}
    """
    return {tag: value for tag, value in scalars_of(logs).items() if tag.startswith(_OWN)}
