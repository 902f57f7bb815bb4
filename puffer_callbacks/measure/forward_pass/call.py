"""``forward``: the forward pass of any module with any batch."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

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
