"""Forward passes of any module with any batch."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.rollout import Rollout

_INPUTS = ("observations", "observation", "obs", "inputs", "input", "x", "states", "state")
_NETWORKS = ("policy", "model", "network", "net", "actor", "encoder", "backbone")


def forward(module: nn.Module, batch: object) -> object:
    """The output of a module's forward pass, called with the part of a batch that it needs.

    A function is called with the module. Of a mapping, the entries named as parameters of ``forward`` are passed
    by name; if there are none, the entry whose name suggests an input. Of a tuple or list, as many elements are
    passed as ``forward`` requires; those after them are targets. Anything else is passed unchanged. For a module
    without a forward pass its ``policy``, ``model`` or ``network`` is called.

    Args:
        module: any module.
        batch: a tensor, a mapping, a tuple or list, or a function of the module.

    Raises:
        ValueError: if the call fails.

    Example:
        >>> forward(nn.Identity(), ("input", "target"))
        'input'
    """
    try:
        if callable(batch):
            return batch(module)
        return _call(module, batch)
    except Exception as error:
        raise ValueError(
            f"expected a batch that {type(module).__name__} takes, got {type(error).__name__}: {error}. "
            "Give as the probe its arguments (a tuple or dict), or a function that calls the module"
        ) from error


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


def _call(module: nn.Module, batch: object) -> object:
    try:
        args, kwargs = _arguments(module.forward, batch)
        return module(*args, **kwargs)
    except NotImplementedError:
        inner = next((getattr(module, name) for name in _NETWORKS if hasattr(module, name)), None)
        if not isinstance(inner, nn.Module):
            raise
        return _call(inner, batch)


def _arguments(function: Callable[..., object], batch: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    named = {p.name: p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    required = [name for name, p in named.items() if p.default is p.empty]
    if isinstance(batch, Mapping):
        matching = {name: batch[name] for name in named if name in batch}
        if matching and matching.keys() >= set(required):
            return (), matching
        looks_like_input = (batch[name] for name in _INPUTS if name in batch)
        return (next(looks_like_input, batch),), {}
    if isinstance(batch, tuple | list):
        return tuple(batch[: max(len(required), 1)]), {}
    return (batch,), {}


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
