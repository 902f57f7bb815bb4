"""Gradients before they are clipped, where no trainer announces the clip."""

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
    """Call a function with the parameters whenever ``torch.nn.utils`` is about to clip gradients.

    Optimizer hooks come after the clip, and backward hooks before accumulation. PuffeRL, Stable-Baselines3,
    Fabric and CleanRL's scripts all clip by these two functions, which are wrapped while there is a listener.
    """
    _listeners.append(listener)
    if len(_listeners) == 1:
        for name in _CLIPS:
            _originals[name] = getattr(torch.nn.utils, name)
            setattr(torch.nn.utils, name, _observed(_originals[name]))


def unlisten(listener: Listener) -> None:
    """Remove a listener; with the last one torch's functions are restored."""
    if listener not in _listeners:
        return
    _listeners.remove(listener)
    if not _listeners:
        for name, original in _originals.items():
            # where another library has wrapped ours in turn, ours stays and passes calls on
            if getattr(getattr(torch.nn.utils, name), "__wrapped__", None) is original:
                setattr(torch.nn.utils, name, original)
        _originals.clear()


def _observed(clip: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(clip)
    def observed(parameters: Tensor | Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
        if _listeners and not torch.compiler.is_compiling():
            parameters = parameters if isinstance(parameters, Tensor) else list(parameters)
            clipped = [parameters] if isinstance(parameters, Tensor) else parameters
            for listener in list(_listeners):
                listener(clipped)
        return clip(parameters, *args, **kwargs)

    return observed
