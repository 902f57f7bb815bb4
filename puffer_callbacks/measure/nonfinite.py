"""Tensors with NaN or infinite elements."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def nonfinite_names(tensors: Mapping[str, Any]) -> list[str]:
    """The names of the tensors with an element that is NaN or infinite; one host transfer where there is none.

    Args:
        tensors: by name; what is no tensor of real numbers is passed over.

    Example:
        >>> nonfinite_names({"rewards": torch.tensor([1.0, float("nan")]), "dones": torch.zeros(2)})
        ['rewards']
    """
    floats = {name: t for name, t in tensors.items() if isinstance(t, Tensor) and t.is_floating_point()}
    if not floats:
        return []
    sums = torch.stack([tensor.detach().sum().float() for tensor in floats.values()])
    suspects = [name for name, finite in zip(floats, sums.isfinite().tolist(), strict=True) if not finite]
    return [name for name in suspects if not floats[name].isfinite().all()]  # a sum may overflow
