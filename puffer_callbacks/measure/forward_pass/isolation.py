"""A look at a model that leaves no trace: no gradient, no state, no random number."""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

LARGEST_COPY = 16 * 2**20
"""Bytes; a larger tensor of the module's state is watched for a change, not copied."""


@contextmanager
def isolated(module: nn.Module) -> Iterator[None]:
    """Run a module without a trace: in eval mode, eagerly, without gradients, and everything put back after.

    Put back are every submodule's attributes (its ``training`` flag, a counter, a hidden state), the contents
    of buffers and other tensors that it holds, and the random number generators. ``eval()`` is not called:
    some modules do more in it than set the flag. A compiled module runs as the one it was compiled from.

    Args:
        module: what will run inside of the block.

    Raises:
        RuntimeError: if a tensor above ``LARGEST_COPY`` was changed in place, and so stays changed.

    Example:
        >>> module = nn.Dropout()
        >>> with isolated(module):
        ...     module(torch.ones(3))
        tensor([1., 1., 1.])
        >>> module.training
        True
    """
    with random_state_kept(), _state_kept(module), _eager(), torch.no_grad():
        for part in module.modules():
            part.training = False
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Put the generators of Python, NumPy and torch, on every device in use, back to where they were."""
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
    # where dynamo was never imported, nothing can be compiled; torch before 2.6 has no such switch
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


@contextmanager
def _state_kept(module: nn.Module) -> Iterator[None]:
    flags = [(part, part.training) for part in module.modules()]
    spaces = [space for part, _ in flags for space in _namespaces(part)]
    names = [(space, dict(space)) for space in spaces]
    held = {id(value): (name, value) for space in spaces for name, value in space.items() if _is_state(value)}
    tensors = [_Kept(name, tensor) for name, tensor in held.values()]
    try:
        yield
    finally:
        for space, before in names:
            _rewind(space, before)
        for part, training in flags:
            if part.training != training:  # a scripted module keeps its flag elsewhere
                part.training = training
        changed = [kept.name for kept in tensors if not kept.restore()]
    if changed:
        raise RuntimeError(
            f"the forward pass changed {changed[0]!r} in place, which is too large to be put back; "
            f"leave it as it is where self.training is false"
        )


def _namespaces(part: nn.Module) -> list[dict[str, Any]]:
    own = vars(part)
    inner = (own.get(name) for name in ("_parameters", "_buffers", "_modules"))
    return [own, *(space for space in inner if isinstance(space, dict))]


def _rewind(space: dict[str, Any], before: dict[str, Any]) -> None:
    for name in space.keys() - before.keys():
        del space[name]
    for name, value in before.items():
        if name not in space or space[name] is not value:
            space[name] = value


def _is_state(value: object) -> bool:
    return isinstance(value, Tensor) and not isinstance(value, nn.Parameter) and not value.is_inference()


class _Kept:
    """A tensor, and its contents where they are not too large."""

    def __init__(self, name: str, tensor: Tensor) -> None:
        self.name = name
        self._tensor = tensor
        self._version = tensor._version
        small = tensor.numel() * tensor.element_size() <= LARGEST_COPY
        self._copy = tensor.detach().clone() if small else None

    def restore(self) -> bool:
        """Put the contents back; false where they changed and there is no copy."""
        if self._tensor._version == self._version:
            return True
        if self._copy is None:
            return False
        with torch.no_grad():
            self._tensor.copy_(self._copy)
        return True
