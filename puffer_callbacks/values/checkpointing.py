"""Conversion of values to checkpoint state: numbers, lists and tensors, no pickled classes."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from puffer_callbacks.values import Alert, Histogram, Hyperparameters, Image, Text, Value, Video

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Alert, Histogram, Hyperparameters, Image, Text, Video)}


def to_state(value: Value) -> Any:
    """The state of a value, in types that ``torch.load(weights_only=True)`` accepts.

    Args:
        value: any value of a row.

    Example:
        >>> to_state(Text("hello"))
        {'kind': 'Text', 'text': 'hello'}
    """
    if isinstance(value, float):
        return float(value)
    return {"kind": type(value).__name__} | {field.name: _plain(getattr(value, field.name)) for field in fields(value)}


def from_state(state: Any) -> Value:
    """The value that ``to_state`` was called with.

    Args:
        state: as returned by ``to_state``.

    Example:
        >>> from_state(to_state(0.5)), from_state(to_state(Text("hello")))
        (0.5, Text(text='hello'))
    """
    if isinstance(state, float):
        return state
    parts = {name: part.numpy() if isinstance(part, torch.Tensor) else part for name, part in state.items()}
    kind = _KINDS[str(parts.pop("kind"))]
    value: Value = kind(**parts)
    return value


def _plain(part: Any) -> Any:
    """Arrays as tensors, and numbers and strings of NumPy or an ``Enum`` as Python's own."""
    if isinstance(part, np.ndarray):
        return torch.from_numpy(part.copy())
    if isinstance(part, Mapping):
        return {name: _plain(entry) for name, entry in part.items()}
    part = part.item() if isinstance(part, np.generic) else part
    return next((kind(part) for kind in (bool, int, float, str) if isinstance(part, kind)), part)


def to_states(values: Mapping[str, Value]) -> dict[str, Any]:
    """The states of values by tag."""
    return {tag: to_state(value) for tag, value in values.items()}


def from_states(states: Mapping[str, Any]) -> dict[str, Value]:
    """The values that ``to_states`` was called with."""
    return {tag: from_state(state) for tag, state in states.items()}
