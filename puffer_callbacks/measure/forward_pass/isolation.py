"""Isolation of a forward pass: gradients, state and random numbers stay as they were."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from operator import is_
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LARGEST_COPY = 16 * 2**20
"""Bytes; a larger tensor of the module's state is checked for changes, not copied."""


@contextmanager
def isolated(module: nn.Module) -> Iterator[None]:
    """A context in which a module runs in eval mode, eagerly and without gradients; its state is restored after.

    Restored are every submodule's attributes (its ``training`` flag, a counter, a hidden state), the contents
    of its buffers and other tensors, and the random number generators. ``eval()`` is not called, since
    some modules do more in it than set the flag. A compiled module runs eagerly.

    Args:
        module: the module that runs in the context.

    Raises:
        RuntimeError: if a tensor above ``LARGEST_COPY`` was changed in place and cannot be restored.

    Example:
        >>> module = nn.Dropout()
        >>> with isolated(module):
        ...     module(torch.ones(3))
        tensor([1., 1., 1.])
        >>> module.training
        True
    """
    parts = list(module.modules())
    with preserved_random_state(), _preserved_state(parts), _eager(), torch.no_grad():
        for part in parts:
            part.training = False
        yield


@contextmanager
def preserved_random_state() -> Iterator[None]:
    """A context that restores the generators of Python, NumPy and torch, on every device in use."""
    devices = [d for d in (torch.cuda, torch.xpu) if d.is_available() and d.is_initialized()]
    restores: list[tuple[Callable[[Any], None], Any]] = [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state()),
        (torch.set_rng_state, torch.get_rng_state()),
        *((device.set_rng_state_all, device.get_rng_state_all()) for device in devices),
    ]
    if torch.backends.mps.is_available():
        restores.append((torch.mps.set_rng_state, torch.mps.get_rng_state()))
    try:
        yield
    finally:
        for restore, state in restores:
            restore(state)


def _eager() -> AbstractContextManager[Any]:
    # nothing is compiled unless dynamo was imported; torch before 2.6 lacks set_stance
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _preserved_state(parts: list[nn.Module]) -> Iterator[None]:
    flags = [(part, part.training) for part in parts]
    spaces = [space for part in parts for space in _namespaces(part)]
    names = [(space, dict(space)) for space in spaces]
    held = {id(value): (name, value) for space in spaces for name, value in space.items() if _is_state(value)}
    tensors = [(name, tensor, tensor._version, _copy_of(tensor)) for name, tensor in held.values()]
    try:
        yield
    finally:
        for space, before in names:
            _restore(space, before)
        for part, training in flags:
            if part.training != training:  # a scripted module stores its flag elsewhere
                part.training = training
        changed = [(name, tensor, copy) for name, tensor, version, copy in tensors if tensor._version != version]
        with torch.no_grad():
            for _, tensor, copy in changed:
                if copy is not None:
                    tensor.copy_(copy)
    if lost := [name for name, _, copy in changed if copy is None]:
        raise RuntimeError(
            f"expected a forward pass without side effects, but it changed {lost[0]!r} in place, which is too "
            f"large to restore; do not change it where self.training is false"
        )


def _namespaces(part: nn.Module) -> list[dict[str, Any]]:
    own = vars(part)
    inner = (own.get(name) for name in ("_parameters", "_buffers", "_modules"))
    return [own, *(space for space in inner if isinstance(space, dict))]


def _restore(space: dict[str, Any], before: dict[str, Any]) -> None:
    if list(space) == list(before) and all(map(is_, space.values(), before.values())):  # nothing has changed
        return
    for name in space.keys() - before.keys():
        del space[name]
    for name, value in before.items():
        if name not in space or space[name] is not value:
            space[name] = value


def _is_state(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter) and not value.is_inference()


def _copy_of(tensor: Tensor) -> Tensor | None:
    is_small = tensor.numel() * tensor.element_size() <= LARGEST_COPY
    return tensor.detach().clone() if is_small else None
