"""Scalars: conversion, extraction from a step's outputs, and their transfer to the host."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

Scalar = float | Tensor
"""A number as a training step returns it: a float, or a 0-d tensor on any device."""


def as_scalar(value: object) -> Scalar | None:
    """The value as a detached scalar, or ``None`` if it is not a scalar.

    Args:
        value: a Python or NumPy number, a boolean, or a real tensor of one element.

    Example:
        >>> as_scalar(torch.ones(1)), as_scalar("two"), as_scalar(True)
        (tensor(1.), None, 1.0)
    """
    if isinstance(value, Tensor):
        return _as_scalar_tensor(value)
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(()).item()
    if isinstance(value, float | int | np.floating | np.integer | np.bool_):
        return as_float(value)
    return None


def as_float(value: float | np.number | np.bool_) -> float:
    """A number as a float; an integer beyond its range is infinite.

    Example:
        >>> as_float(3), as_float(-(10**400))
        (3.0, -inf)
    """
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def scalars_of(outputs: object, *, loss_scale: int = 1) -> dict[str, Scalar]:
    """The scalars of a training step's outputs, detached; nested names are joined by ``/``.

    Args:
        outputs: a mapping, a loss tensor, or ``None``.
        loss_scale: the divisor that Lightning applied to ``loss``: the number of accumulated batches.

    Example:
        >>> scalars_of({"loss": 0.5, "aux": {"kl": 0.1}, "logits": [1, 2]}, loss_scale=4)
        {'loss': 2.0, 'aux/kl': 0.1}
    """
    if isinstance(outputs, Tensor):
        outputs = {"loss": outputs}
    if not isinstance(outputs, Mapping):
        return {}
    scalars: dict[str, Scalar] = {}
    _gather(outputs, scalars, "")
    if loss_scale != 1 and "loss" in scalars:
        scalars["loss"] = scalars["loss"] * loss_scale
    return scalars


def _as_scalar_tensor(value: Tensor) -> Tensor | None:
    if value.layout is not torch.strided or value.is_meta or value.is_complex():
        return None
    if value.ndim:
        if value.is_nested or value.numel() != 1:
            return None
        value = value.reshape(())
    return value.detach() if value.requires_grad else value


def stacked(scalars: list[Tensor]) -> Tensor:
    """A 1-d copy of 0-d tensors, independent of later in-place changes."""
    dtypes = [scalar.dtype for scalar in scalars]
    if dtypes.count(dtypes[0]) == len(dtypes):
        try:
            return torch.stack(scalars)
        except RuntimeError:  # on several devices
            pass
    return torch.stack([scalar.to("cpu", torch.float64) for scalar in scalars])


def to_floats(scalars: Mapping[str, Scalar]) -> dict[str, float]:
    """The scalars as floats, with one host transfer for all tensors together.

    Example:
        >>> to_floats({"a": torch.tensor(2), "b": 0.5})
        {'a': 2.0, 'b': 0.5}
    """
    tensors = {tag: value for tag, value in scalars.items() if isinstance(value, Tensor)}
    floats = dict(zip(tensors, to_host(list(tensors.values())), strict=True))
    return {tag: floats[tag] if tag in floats else float(value) for tag, value in scalars.items()}


def to_host(scalars: Sequence[Tensor]) -> list[float]:
    """0-d tensors as floats, with one host transfer for all of a dtype and device together.

    Example:
        >>> to_host([torch.tensor(2), torch.tensor(0.5), torch.tensor(3)])
        [2.0, 0.5, 3.0]
    """
    groups: dict[object, list[int]] = {}
    for at, scalar in enumerate(scalars):
        groups.setdefault((scalar.dtype, scalar.device), []).append(at)
    floats = [0.0] * len(scalars)
    for group in groups.values():
        for at, number in zip(group, torch.stack([scalars[at] for at in group]).cpu().tolist(), strict=True):
            floats[at] = float(number)
    return floats


def _gather(outputs: Mapping[object, object], scalars: dict[str, Scalar], prefix: str, depth: int = 16) -> None:
    for name, value in outputs.items():
        scalar = as_scalar(value)
        if scalar is not None:
            scalars[f"{prefix}{name}"] = scalar
        elif depth and isinstance(value, Mapping):  # bounds a mapping that contains itself
            _gather(value, scalars, f"{prefix}{name}/", depth - 1)


def examples_in(batch: object) -> int:
    """The examples in a batch, by the first of its tensors that is no number; 1 where it has none.

    Example:
        >>> examples_in({"observations": torch.zeros(6, 4), "actions": torch.zeros(6)}), examples_in(3)
        (6, 1)
    """
    with suppress(Exception):  # a batch that contains itself, or fails as it is read
        sizes = (len(leaf) for leaf in _leaves(batch) if isinstance(leaf, Tensor) and leaf.ndim)
        return next(sizes, 1)
    return 1


def _leaves(batch: object) -> Iterator[object]:
    """Those of torch's trees, of other mappings, such as a ``BatchEncoding``, and of dataclasses."""
    for leaf in tree_leaves(batch):
        if isinstance(leaf, Mapping):
            for value in leaf.values():  # one by one: it may read them from a disk
                yield from _leaves(value)
        elif is_dataclass(leaf) and not isinstance(leaf, type):
            yield from _leaves([getattr(leaf, each.name, None) for each in fields(leaf)])  # one may not be set yet
        else:
            yield leaf
