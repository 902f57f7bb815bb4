"""What odd values are to be recorded as."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks import Histogram, Image, Text, Video


def number(value: Any) -> float | None:
    """What a scalar is to be recorded as; ``None`` if it is none."""
    if isinstance(value, Tensor):
        held = numbers_of(value)
        real = held is not None and held.size == 1 and value.layout is torch.strided and not value.is_complex()
        return float(held.item()) if real else None
    if isinstance(value, np.ndarray):
        value = value.reshape(()).item() if value.size == 1 else None
    if isinstance(value, bool | int | float | np.bool_ | np.integer | np.floating):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    return None


def numbers_of(tensor: Tensor) -> Any:
    """What a tensor holds, complex numbers by their magnitude; ``None`` if it holds no numbers."""
    if tensor.is_meta or tensor.is_quantized or tensor.is_nested or type(tensor).__name__ == "FakeTensor":
        return None
    tensor = tensor.detach()
    try:
        dense = tensor.as_subclass(Tensor) if tensor.layout is torch.strided else tensor.to_dense()
        return (dense.to(torch.complex128).abs() if dense.is_complex() else dense.double().resolve_neg()).numpy()
    except (RuntimeError, NotImplementedError):  # there are dtypes that torch itself cannot read so
        return None


def same(recorded: Any, given: Any) -> bool:
    """Whether the record is true."""
    if isinstance(given, Histogram | Image | Text | Video):
        return recorded is given
    expected = number(given)
    if expected is None:
        return False
    return recorded == expected or (math.isnan(recorded) and math.isnan(expected))
