"""``Snapshot``: a copy of the state of a module and its optimizers, updated in place."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map


class Snapshot:
    """Keeps one copy of the state, on its device.

    Args:
        max_bytes: of the copy; of a larger state there is none.

    Example:
        >>> module, snapshot = nn.Linear(2, 1), Snapshot(max_bytes=1000)
        >>> snapshot.take(module, [])
        >>> torch.nn.init.constant_(module.bias, float("nan")).isnan().item()
        True
        >>> snapshot.states()["module"]["bias"].isnan().item()
        False
    """

    def __init__(self, *, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._states: dict[str, Any] = {}
        self._tensors: list[Tensor] = []
        self._copies: list[Tensor] = []
        self._count = -1

    @property
    def is_taken(self) -> bool:
        """Whether ``take`` was called."""
        return self._count >= 0

    @torch.no_grad()
    def take(self, module: nn.Module, optimizers: Iterable[Any]) -> None:
        """Copy the state as it is now."""
        optimizers = list(optimizers)
        count = sum(len(optimizer.state) for optimizer in optimizers)
        if count == self._count:
            if self._tensors:
                torch._foreach_copy_(self._copies, self._tensors)
                self._states["optimizers"] = _states_of(optimizers)  # learning rates are numbers
            return
        self._count = count  # an optimizer makes its state at its first step
        self._states = {"module": module.state_dict(), "optimizers": _states_of(optimizers)}
        self._tensors = [leaf for leaf in tree_leaves(self._states) if isinstance(leaf, Tensor)]
        if num_bytes(self._states) > self.max_bytes:
            self._states, self._tensors = {}, []
        self._copies = [tensor.clone() for tensor in self._tensors]

    def states(self) -> dict[str, Any]:
        """``module`` and ``optimizers`` as their ``state_dict`` at the last ``take``; nothing where it is too large."""
        copies = {id(tensor): copy for tensor, copy in zip(self._tensors, self._copies, strict=True)}
        return {name: tree_map(lambda leaf: copies.get(id(leaf), leaf), state) for name, state in self._states.items()}


def _states_of(optimizers: Iterable[Any]) -> list[dict[str, Any]]:
    return [optimizer.state_dict() for optimizer in optimizers]


def num_bytes(tree: Any) -> int:
    """The bytes of all tensors in a tree of mappings, tuples and lists.

    Example:
        >>> num_bytes({"weights": [torch.zeros(4)]})
        16
    """
    return sum(leaf.numel() * leaf.element_size() for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
