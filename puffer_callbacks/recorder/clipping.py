"""Gradients before they are clipped: the recorder is called before torch's clip functions.

Optimizer hooks come after a clip in a loop or in manual optimization, and backward hooks come before accumulation.
PuffeRL, Stable-Baselines3, Fabric and CleanRL's scripts clip with ``torch.nn.utils``, whose functions are wrapped while
a run is recorded. ``clip_grad_norm_`` imported by name is seen as well: it calls an inner function of torch's module by
its global name.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

BeforeClip = Callable[[list[Tensor]], None]

_FUNCTIONS = (
    (torch.nn.utils, "clip_grad_norm_"),
    (torch.nn.utils, "clip_grad_value_"),
    (clip_grad, "_clip_grads_with_norm_"),
)
_callbacks: list[BeforeClip] = []
_originals: list[tuple[Any, str, Callable[..., Any]]] = []


def call_before_clip(callback: BeforeClip) -> None:
    """Have a function called with the parameters whenever their gradients are about to be clipped."""
    _callbacks.append(callback)
    if len(_callbacks) == 1:
        for module, name in _FUNCTIONS:
            original = getattr(module, name, None)
            if original is not None:
                _originals.append((module, name, original))
                setattr(module, name, _wrapped(original))


def stop_calling(callback: BeforeClip) -> None:
    """Remove a function; with the last one torch's functions are themselves again."""
    if callback not in _callbacks:
        return
    _callbacks.remove(callback)
    if not _callbacks:
        for module, name, original in _originals:
            if getattr(getattr(module, name), "__wrapped__", None) is original:  # else ours was wrapped in turn
                setattr(module, name, original)
        _originals.clear()


def _wrapped(clip: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(clip)
    def before_clip(parameters: Tensor | Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
        if _callbacks and not torch.compiler.is_compiling():
            parameters = parameters if isinstance(parameters, Tensor) else list(parameters)
            for callback in list(_callbacks):
                callback([parameters] if isinstance(parameters, Tensor) else parameters)
        return clip(parameters, *args, **kwargs)

    return before_clip
