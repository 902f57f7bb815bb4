"""Calling a model with a batch, when nothing is known about either."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

_INPUT_NAMES = ("observations", "observation", "obs", "inputs", "input", "x", "states", "state")


def forward(module: nn.Module, batch: object) -> object:
    """Call a module's forward pass with what it needs of a batch.

    A callable is called with the module. Of a mapping, the entries that are parameters of ``forward`` are given by
    name; a forward pass with one unknown parameter is given the observations or inputs of the mapping. Of a tuple
    or list, as many elements are given as ``forward`` requires: those after them are its targets. Anything else
    is given as it is.

    Args:
        module: any module.
        batch: a tensor, a mapping, a tuple or list, or a callable that takes the module.

    Raises:
        ValueError: if the module refuses it.

    Example:
        >>> forward(nn.Identity(), (torch.ones(1), "target"))
        tensor([1.])
    """
    try:
        if callable(batch) and not isinstance(batch, Tensor):
            return batch(module)
        args, kwargs = arguments(module.forward, batch)
        return module(*args, **kwargs)
    except Exception as error:
        name = type(module).__name__
        raise ValueError(
            f"expected a probe batch that {name}.forward takes, but it raised {type(error).__name__}: {error}; "
            f"give probe= its arguments, as a tuple or a dict, or a function that calls the module"
        ) from error


def arguments(function: Callable[..., object], batch: object) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What to call a function with, out of a batch: see ``forward``."""
    parameters = list(inspect.signature(function).parameters.values())
    named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in named if p.default is p.empty]
    open_ended = len(named) < len(parameters)
    if isinstance(batch, Mapping):
        entries = {str(name): value for name, value in batch.items()}
        known = {p.name: entries[p.name] for p in named if p.name in entries}
        if open_ended and set(required) <= entries.keys():
            return (), known if named else entries
        if set(required) <= known.keys() and known:
            return (), known
        return (_inputs(entries),), {}
    if isinstance(batch, tuple | list):
        return tuple(batch[: max(len(required), 1)]), {}
    return (batch,), {}
