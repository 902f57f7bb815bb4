"""Values as plain numbers, lists and tensors, which a checkpoint holds without pickling a class."""

from dataclasses import fields
from typing import Any

import numpy as np
import torch

from puffer_callbacks.values import Histogram, Hyperparameters, Image, Text, Value, Video

_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Histogram, Hyperparameters, Image, Text, Video)}


def pack(value: Value) -> Any:
    """The value as what ``torch.load(weights_only=True)`` takes.

    Example:
        >>> pack(Text("hello"))
        {'kind': 'Text', 'text': 'hello'}
    """
    if isinstance(value, float):
        return value
    parts = {field.name: getattr(value, field.name) for field in fields(value)}
    arrays = {name: torch.from_numpy(part.copy()) for name, part in parts.items() if isinstance(part, np.ndarray)}
    return {"kind": type(value).__name__, **parts, **arrays}


def unpack(packed: Any) -> Value:
    """The value that was packed.

    Example:
        >>> unpack(pack(0.5)), unpack(pack(Text("hello")))
        (0.5, Text(text='hello'))
    """
    if isinstance(packed, float):
        return packed
    parts = {name: part.numpy() if isinstance(part, torch.Tensor) else part for name, part in packed.items()}
    kind = _KINDS[str(parts.pop("kind"))]
    value: Value = kind(**parts)
    return value
