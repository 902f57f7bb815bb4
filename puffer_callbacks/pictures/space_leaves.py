"""Flattening of observations and actions of any space to arrays by path."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Leaf = NDArray[Any]
"""[T, N, *shape] of numbers or booleans; [T, N] of strings."""


def flatten_space(tree: Any, *, num_envs: int | None = None, path: str = "") -> dict[str, Leaf]:
    """The leaves of a rollout's observations, or actions, by path.

    Args:
        tree: tensors or arrays [T, N, *shape] in nested mappings and tuples, as in a dict or tuple space; or
            a list of T lists of N observations as returned by environments: strings, sequences of any length,
            nested; or ``None``, which has no leaves.
        num_envs: the number of environments to keep, from the first on; all by default.
        path: the path of the tree itself.

    Returns:
        Path (``a/b``, ``0``; empty for a single leaf) to [T, N, *shape] on the host. Sequences of different
        lengths are padded with NaN; other objects are represented by their ``repr``.

    Raises:
        TypeError: if the tree is none of these.

    Example:
        >>> import torch
        >>> obs = {"camera": torch.zeros(5, 2, 8, 8), "speed": torch.zeros(5, 2)}
        >>> {path: leaf.shape for path, leaf in flatten_space(obs, num_envs=1).items()}
        {'camera': (5, 1, 8, 8), 'speed': (5, 1)}
    """
    if tree is None:
        return {}
    if isinstance(tree, Tensor):
        return {path: _host(tree[:, :num_envs])}
    if isinstance(tree, np.ndarray) and tree.dtype != object:
        return {path: tree[:, :num_envs]}
    if isinstance(tree, list | np.ndarray):
        return _collated([list(step)[:num_envs] for step in tree], path)
    found: dict[str, Leaf] = {}
    for name, branch in _branches(tree):
        found |= flatten_space(branch, num_envs=num_envs, path=f"{path}/{name}" if path else name)
    return found


def _branches(tree: Any) -> list[tuple[str, Any]]:
    if isinstance(tree, Mapping) or hasattr(tree, "items"):
        return [(str(name), branch) for name, branch in tree.items()]
    if hasattr(tree, "_fields"):
        return list(zip(tree._fields, tree, strict=True))
    if isinstance(tree, tuple):
        return [(str(i), branch) for i, branch in enumerate(tree)]
    raise TypeError(f"expected observations as tensors, arrays, mappings, tuples or lists, got {type(tree).__name__}")


def _host(tensor: Tensor) -> Leaf:
    tensor = tensor.detach().cpu()
    is_narrow = tensor.is_floating_point() and tensor.itemsize < 4  # NumPy has no bfloat16
    array: Leaf = (tensor.float() if is_narrow else tensor).numpy()
    return array


def _collated(steps: list[list[Any]], path: str) -> dict[str, Leaf]:
    """The leaves of a list of steps, each a list of one observation per environment."""
    samples = [sample for step in steps for sample in step]
    if all(sample is None for sample in samples):
        return {}
    split = [dict(_branches(s)) for s in samples if isinstance(s, Mapping | tuple)]
    names = list(dict.fromkeys(name for branches in split for name in branches))
    if len(split) == len(samples) and all(list(branches) == names for branches in split):
        found: dict[str, Leaf] = {}
        for name in names:
            inner = [[dict(_branches(sample))[name] for sample in step] for step in steps]
            found |= _collated(inner, f"{path}/{name}" if path else name)
        return found
    stacked = _stacked(samples)
    return {path: stacked.reshape(len(steps), len(steps[0]), *stacked.shape[1:])}


def _stacked(samples: list[Any]) -> Leaf:
    """[len(samples), *shape]: numbers padded to one shape with NaN, or strings."""
    arrays = [_numbers(sample) for sample in samples]
    numbers = [array for array in arrays if array is not None]
    if len(numbers) < len(arrays):
        return np.array([sample if isinstance(sample, str) else repr(sample) for sample in samples])
    if len({array.shape for array in numbers}) == 1:
        return np.stack(numbers)
    if len({array.ndim for array in numbers}) > 1:
        numbers = [array.ravel() for array in numbers]
    shape = np.max([array.shape for array in numbers], axis=0)
    filled = np.full((len(numbers), *shape), np.nan)
    for array, row in zip(numbers, filled, strict=True):
        row[tuple(slice(length) for length in array.shape)] = array
    return filled


def _numbers(sample: Any) -> Leaf | None:
    if sample is None:
        return np.zeros(0)
    if isinstance(sample, Tensor):
        return _host(sample)
    if isinstance(sample, tuple | list):
        parts = [part for part in map(_numbers, sample) if part is not None]
        equal_shapes = len(parts) == len(sample) and len({part.shape for part in parts}) <= 1
        return (np.stack(parts) if parts else np.zeros(0)) if equal_shapes else None
    array = np.asarray(sample)
    return array if array.dtype.kind in "biuf" else None
