"""The local variables of a library's running method."""

import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any


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
