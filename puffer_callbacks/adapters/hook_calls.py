"""Calling callbacks' hooks where no trainer of Lightning's does it."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

import torch
from torch import nn

Hook = Callable[..., Any]

_BASES = {"lightning.pytorch.callbacks.callback", "pytorch_lightning.callbacks.callback"}
_UNCHANGED = nullcontext()


def is_callback(candidate: object) -> bool:
    """Whether an object is a Lightning callback, of either namespace; a ``LightningModule`` has hooks too.

    Example:
        >>> from lightning.pytorch import Callback, LightningModule
        >>> is_callback(Callback()), is_callback(LightningModule()), is_callback("metrics")
        (True, False, False)
    """
    return callable(getattr(candidate, "setup", None)) and not isinstance(candidate, nn.Module)


def overriding(callbacks: Iterable[Any], hook: str) -> list[Hook]:
    """The bound hooks of those callbacks that have one of their own, in order.

    Example:
        >>> from lightning.pytorch import Callback
        >>> overriding([Callback()], "on_before_optimizer_step")
        []
    """
    hooks = [getattr(callback, hook, None) for callback in callbacks]
    return [call for call in hooks if callable(call) and getattr(call, "__module__", "") not in _BASES]


def full_precision() -> AbstractContextManager[Any]:
    """A block outside of autocast: measures are exact, also in a trainer that never leaves it, as PuffeRL."""
    active = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    if not active:
        return _UNCHANGED
    stack = ExitStack()
    for device in active:
        stack.enter_context(torch.autocast(device, enabled=False))
    return stack
