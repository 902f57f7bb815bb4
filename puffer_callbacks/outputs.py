"""The scalars of what a training step returns."""

from collections.abc import Mapping

import torch
from torch import Tensor

from puffer_callbacks.values.scalars import Scalar, as_scalar

_REAL = frozenset(
    {torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool}
)


def scalar_outputs(outputs: object, *, loss_scale: int = 1) -> dict[str, Scalar]:
    """Every scalar of a training step's outputs, detached; nested names are joined by ``/``.

    Args:
        outputs: a mapping, a loss tensor, or ``None``.
        loss_scale: what Lightning divided ``loss`` by: the number of accumulated batches.

    Example:
        >>> scalar_outputs({"loss": 0.5, "aux": {"kl": 0.1}, "logits": [1, 2]}, loss_scale=4)
        {'loss': 2.0, 'aux/kl': 0.1}
    """
    if isinstance(outputs, Tensor):
        outputs = {"loss": outputs}
    if not isinstance(outputs, Mapping):
        return {}
    scalars: dict[str, Scalar] = {}
    _gather(outputs, "", scalars)
    if loss_scale != 1 and "loss" in scalars:
        scalars["loss"] = scalars["loss"] * loss_scale
    return scalars


def _gather(outputs: Mapping[object, object], prefix: str, scalars: dict[str, Scalar]) -> None:
    for name, value in outputs.items():
        # most are plain tensors already: no call for them
        plain = type(value) is Tensor and not value.ndim and not value.requires_grad
        scalar: Scalar | None = None
        if type(value) is Tensor and plain and value.dtype in _REAL and not value.is_meta:
            scalar = value
        else:
            scalar = as_scalar(value)
        if scalar is not None:
            scalars[f"{prefix}{name}"] = scalar
        elif isinstance(value, Mapping):
            _gather(value, f"{prefix}{name}/", scalars)
