"""Samples of batches that are nested to any depth, and their device."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.rollout import Rollout


def first_samples(batch: Any, module: nn.Module, *, count: int) -> Any:
    """A copy of the first samples of a batch.

    The batch is cut if the first dimension must be that of samples: all tensors have the same size there, and no
    submodule has ``batch_first=False``. Otherwise the whole batch is copied.

    Args:
        batch: tensors, nested to any depth in mappings, tuples and lists; anything else is kept unchanged.
        module: the module that the batch is for.
        count: the largest number of samples.

    Example:
        >>> batch = (Tensor(9, 2), {"target": Tensor(9)})
        >>> first_samples(batch, nn.Identity(), count=4)[1]["target"].shape
        torch.Size([4])
    """
    sizes = {leaf.shape[0] if leaf.ndim else None for leaf in _tensors(batch)}
    batch_first = all(getattr(part, "batch_first", True) for part in module.modules())
    end = count if batch_first and len(sizes) == 1 and None not in sizes else None
    return _map(lambda leaf: leaf[:end].clone() if leaf.ndim else leaf.clone(), batch)


def even_samples(observations: Any, *, count: int) -> Any:
    """A rollout's observations [T, N, …] at even distances: [B, …].

    Args:
        observations: tensors, nested to any depth in mappings, tuples and lists; anything else is kept unchanged.
        count: B at most.

    Example:
        >>> even_samples({"position": Tensor(4, 2, 3)}, count=4)["position"].shape
        torch.Size([4, 3])
    """
    return _map(lambda leaf: Rollout.even_sample(leaf, most=count), observations)


def on_device(batch: Any, module: nn.Module) -> Any:
    """The batch on the device of the module's parameters."""
    device = next((parameter.device for parameter in module.parameters()), None)
    return _map(lambda leaf: leaf.to(device), batch)


def _tensors(batch: Any) -> list[Tensor]:
    tensors: list[Tensor] = []
    _map(tensors.append, batch)
    return tensors


def _map(change: Callable[[Tensor], Any], batch: Any) -> Any:
    if isinstance(batch, Tensor):
        return change(batch.detach())
    if isinstance(batch, Mapping):
        return {name: _map(change, value) for name, value in batch.items()}
    if isinstance(batch, tuple | list):
        items = [_map(change, value) for value in batch]
        return type(batch)(*items) if hasattr(batch, "_fields") else type(batch)(items)
    return batch
