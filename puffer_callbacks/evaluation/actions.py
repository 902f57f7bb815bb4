"""Conversion of policy outputs to actions."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

_NUMERIC = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
_KEYS = ("action", "actions", "logits", "mode", "mean", "loc", "mu")


def to_action(output: Any, space: spaces.Space[Any]) -> Any:
    """The most likely action of a policy's output for one observation, in the format of the environment.

    Supported are, alone, as the first element of a tuple, or in a mapping or object under ``action``, ``logits``
    or ``mean``: an action; a distribution, by its mode, mean or a sample; logits or probabilities for
    ``Discrete`` and ``MultiDiscrete``; logits for ``MultiBinary``; for ``Box`` the mean, alone or followed by as
    many standard deviations. Continuous actions are clipped to the bounds of the space.

    Args:
        output: for a batch of one observation, or unbatched.
        space: the environment's action space.

    Raises:
        ValueError: if the output is none of these.

    Example:
        >>> import torch
        >>> to_action((torch.tensor([[0.1, 2.0, 0.3]]), torch.zeros(1)), spaces.Discrete(3))  # logits, value
        1
    """
    if isinstance(space, spaces.Dict) and isinstance(output, Mapping):
        return {name: to_action(output[name], inner) for name, inner in space.items()}
    if isinstance(space, spaces.Tuple) and isinstance(output, tuple) and len(output) == len(space):
        return tuple(to_action(each, inner) for each, inner in zip(output, space, strict=True))
    inner = _unwrap(output, space)
    if inner is not output:
        return to_action(inner, space)
    numbers = _numbers(output)
    if numbers is not None:
        action = _action(numbers, space)
        if action is not None:
            return action
    elif not isinstance(space, _NUMERIC) and space.contains(output):
        return output
    given = type(output).__name__ if numbers is None else f"{numbers.dtype} of shape {list(numbers.shape)}"
    raise ValueError(f"expected an action, logits or a distribution for {space}, got {given}")


def _unwrap(output: Any, space: spaces.Space[Any]) -> Any:
    if _numbers(output) is not None:
        return output
    if isinstance(output, tuple | list):
        if isinstance(space, spaces.MultiDiscrete) and _sizes(output) == space.nvec.ravel().tolist():
            return np.concatenate([_numbers(each).ravel() for each in output])  # type: ignore[union-attr]
        return output[0] if output else output
    if isinstance(output, Mapping):
        return next((output[key] for key in _KEYS if key in output), output)
    if hasattr(output, "sample"):
        return _most_likely(output)
    return next((getattr(output, key) for key in _KEYS if hasattr(output, key)), output)


def _most_likely(distribution: Any) -> Any:
    for name in ("mode", "mean", "sample"):
        try:
            value = getattr(distribution, name)
            value = value() if callable(value) else value
        except (AttributeError, NotImplementedError):
            continue
        return value
    return distribution


def _action(numbers: NDArray[Any], space: spaces.Space[Any]) -> Any:
    flat = numbers.ravel()
    whole = flat.dtype.kind in "biu"
    if isinstance(space, spaces.Discrete):
        if flat.size == space.n and not whole:
            return int(space.start) + int(flat.argmax())
        is_choice = flat.size == 1 and _is_integral(flat) and space.contains(np.int64(flat[0]))
        return int(flat[0]) if is_choice else None
    size = math.prod(space.shape or ())
    if isinstance(space, spaces.MultiDiscrete) and flat.size == space.nvec.sum() and not whole:
        parts = np.split(flat, space.nvec.ravel().cumsum()[:-1])
        flat = np.array([part.argmax() for part in parts]) + space.start.ravel()
    elif isinstance(space, spaces.MultiDiscrete) and not _is_integral(flat):
        return None
    elif isinstance(space, spaces.MultiBinary) and not whole:
        flat = flat > 0
    elif isinstance(space, spaces.Box) and flat.size in (size, 2 * size):
        flat = np.clip(flat[:size], space.low.ravel(), space.high.ravel())
    return flat.reshape(space.shape).astype(space.dtype) if flat.size == size else None


def _is_integral(numbers: NDArray[Any]) -> bool:
    """Whether all are integers: a critic's value such as 0.3 is no choice."""
    return bool((np.isfinite(numbers) & (numbers == np.round(numbers))).all())


def _sizes(outputs: tuple[Any, ...] | list[Any]) -> list[int | None]:
    arrays = [_numbers(each) for each in outputs]
    return [None if array is None or array.dtype.kind != "f" else array.size for array in arrays]


def _numbers(output: Any) -> NDArray[Any] | None:
    if isinstance(output, Tensor):
        output = output.detach().cpu()
        is_short = output.is_floating_point() and output.dtype.itemsize < 4  # bfloat16, which NumPy does not have
        return np.asarray(output.float() if is_short else output)
    if isinstance(output, np.ndarray | np.generic | int | float):
        return np.asarray(output)
    if isinstance(output, list) and output and all(isinstance(each, int | float) for each in output):
        return np.asarray(output)
    return None
