"""Tensors with NaN or infinite elements."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from puffer_callbacks.values.scalars import to_host


def nonfinite_names(tensors: Mapping[str, Any]) -> list[str]:
    """The names of the tensors with an element that is NaN or infinite; one host transfer where there is none.

    Args:
        tensors: by name; what is no tensor of real numbers is passed over.

    Example:
        >>> import torch
        >>> nonfinite_names({"rewards": torch.tensor([1.0, float("nan")]), "dones": torch.zeros(2)})
        ['rewards']
    """
    floats = {name: t for name, t in tensors.items() if isinstance(t, Tensor) and t.is_floating_point()}
    if not floats:
        return []
    totals = to_host([tensor.detach().sum() for tensor in floats.values()])
    suspects = [name for name, total in zip(floats, totals, strict=True) if not math.isfinite(total)]
    return [name for name in suspects if not floats[name].isfinite().all()]  # a sum may overflow
