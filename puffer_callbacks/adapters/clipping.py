"""Seeing gradients before they are clipped, where no trainer tells of the clip."""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch
from torch import Tensor

Listener = Callable[[list[Tensor]], None]

_CLIPS = ("clip_grad_norm_", "clip_grad_value_")
_listeners: list[Listener] = []
_originals: dict[str, Callable[..., Any]] = {}


def listen(listener: Listener) -> None:
    """Have a function called with the parameters whenever ``torch.nn.utils`` is about to clip gradients.

    Optimizer hooks come after the clip, and backward hooks before accumulation. PuffeRL, Stable-Baselines3,
    Fabric and CleanRL's scripts all clip by these two functions, which are wrapped while somebody listens.
    """
    _listeners.append(listener)
    if len(_listeners) == 1:
        for name in _CLIPS:
            _originals[name] = getattr(torch.nn.utils, name)
            setattr(torch.nn.utils, name, _telling(_originals[name]))


def unlisten(listener: Listener) -> None:
    """Take a listener away; with the last one torch's functions are themselves again."""
    if listener not in _listeners:
        return
    _listeners.remove(listener)
    if not _listeners:
        for name, original in _originals.items():
            # where somebody wrapped ours in turn, ours stays, and passes on
            if getattr(getattr(torch.nn.utils, name), "__wrapped__", None) is original:
                setattr(torch.nn.utils, name, original)
        _originals.clear()


def _telling(clip: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(clip)
    def telling(parameters: Tensor | Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
        if _listeners and not torch.compiler.is_compiling():
            parameters = parameters if isinstance(parameters, Tensor) else list(parameters)
            told = [parameters] if isinstance(parameters, Tensor) else parameters
            for listener in list(_listeners):
                listener(told)
        return clip(parameters, *args, **kwargs)

    return telling
