"""The callbacks' part of a checkpoint."""

from collections.abc import Iterable, Mapping
from typing import Any


def callback_states(callbacks: Iterable[Any]) -> dict[str, Any]:
    """What the callbacks keep, by their ``state_key``."""
    able = [callback for callback in callbacks if callable(getattr(callback, "state_dict", None))]
    return {callback.state_key: state for callback in able if (state := callback.state_dict())}


def load_callback_states(callbacks: Iterable[Any], states: Mapping[str, Any]) -> None:
    """Give each callback what it kept."""
    for callback in callbacks:
        state = states.get(getattr(callback, "state_key", ""))
        if state is not None:
            callback.load_state_dict(state)
