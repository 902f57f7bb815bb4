"""PuffeRL's losses and its log, under the names that all algorithms share."""

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

from puffer_callbacks.values.scalars import Scalar, as_scalar

_SHARED = {"clipfrac": "clip_fraction"}
_OWN = ("environment/", "performance/")


def update_metrics(losses: Mapping[str, Any]) -> dict[str, Scalar]:
    """PuffeRL's losses under the names that all algorithms share.

    Example:
        >>> update_metrics({"policy_loss": 0.5, "clipfrac": 0.1})
        {'policy_loss': 0.5, 'clip_fraction': 0.1}
    """
    scalars = {_SHARED.get(name, name): as_scalar(value) for name, value in losses.items()}
    return {name: value for name, value in scalars.items() if value is not None}


def unlogged_scalars(logs: Mapping[str, Any]) -> dict[str, Any]:
    """The scalars of PuffeRL's log that the callbacks do not log in any case.

    Example:
        >>> unlogged_scalars({"environment/score": 0.5, "losses/policy_loss": 0.1, "SPS": 1000})
        {'environment/score': 0.5}
    """
    own = {tag: as_scalar(value) for tag, value in logs.items() if tag.startswith(_OWN)}
    return {tag: value for tag, value in own.items() if value is not None}


def locals_of(is_owner: Callable[[Any], bool]) -> Mapping[str, Any]:
    """The local variables of the running method whose ``self`` is the owner; empty where none runs.

    Args:
        is_owner: whether an object is the one.

    Example:
        >>> class Trainer:
        ...     def train(self):
        ...         losses = {"policy_loss": 0.5}
        ...         return locals_of(lambda owner: owner is self)["losses"]
        >>> Trainer().train()
        {'policy_loss': 0.5}
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if "self" in frame.f_code.co_varnames and is_owner(frame.f_locals.get("self")):
            return frame.f_locals
        frame = frame.f_back
    return {}
