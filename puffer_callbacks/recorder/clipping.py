"""Gradients before they are clipped: the recorder is called before torch's clip functions.

Optimizer hooks come after a clip in a loop or in manual optimization, and backward hooks come before accumulation.
PuffeRL, Stable-Baselines3, Fabric and CleanRL's scripts clip with ``torch.nn.utils``, whose functions are wrapped while
a run is recorded. ``clip_grad_norm_`` imported by name is seen as well: it calls an inner function of torch's module by
its global name. Any other clip is found afterwards, by ``BackwardNorms``, which is notified of unscaled gradients.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.utils import clip_grad

from puffer_callbacks.recorder.wrapped_methods import wrap_method

# the inner function that ``clip_grad_norm_`` calls, by whichever name that was imported
_BY_NORM = (
    ((clip_grad, "_clip_grads_with_norm_"), (torch.nn.utils, "clip_grads_with_norm_"))
    if hasattr(clip_grad, "_clip_grads_with_norm_")
    else ((torch.nn.utils, "clip_grad_norm_"),)  # torch before 2.6 has none
)
_CLIPS = (*_BY_NORM, (torch.nn.utils, "clip_grad_value_"), (clip_grad, "clip_grad_value_"))


BeforeClip = Callable[[list[Tensor]], None]
AfterUnscale = Callable[[Any], None]


class _Conditions(NamedTuple):
    is_wanted: Callable[[], bool]
    after_unscale: AfterUnscale | None


_callbacks: dict[BeforeClip, _Conditions] = {}
_restores: list[Callable[[], None]] = []


def call_before_clip(
    callback: BeforeClip, *, is_wanted: Callable[[], bool] = lambda: True, after_unscale: AfterUnscale | None = None
) -> None:
    """Have a function called with the parameters whenever their gradients are about to be clipped.

    Args:
        callback: the function.
        is_wanted: called before each clip; where it returns false, the parameters are not even listed.
        after_unscale: called with the optimizer whenever a ``GradScaler`` has unscaled its gradients.
    """
    if not _callbacks:
        _restores.extend(wrap_method(module, name, _clip) for module, name in _CLIPS)
        _restores.append(wrap_method(torch.amp.GradScaler, "unscale_", _unscale))
    _callbacks[callback] = _Conditions(is_wanted, after_unscale)


def stop_calling(callback: BeforeClip) -> None:
    """Remove a function; with the last one torch's functions are themselves again."""
    if callback not in _callbacks:
        return
    del _callbacks[callback]
    if not _callbacks:
        while _restores:
            _restores.pop()()


def _clip(clip: Callable[..., Any], parameters: Tensor | Iterable[Tensor], *args: Any, **kwargs: Any) -> Any:
    if torch.compiler.is_compiling():  # which would compile again whenever a count below has changed
        return clip(parameters, *args, **kwargs)
    # the latest first: an adapter ends the training step before, and then the recorder measures this one
    wanted = [callback for callback, conditions in reversed(_callbacks.items()) if conditions.is_wanted()]
    if wanted:
        parameters = parameters if isinstance(parameters, Tensor) else list(parameters)
        for callback in wanted:
            callback([parameters] if isinstance(parameters, Tensor) else parameters)
    return clip(parameters, *args, **kwargs)


def _unscale(unscale: Callable[..., None], scaler: Any, optimizer: Any) -> None:
    unscale(scaler, optimizer)
    for conditions in list(_callbacks.values()):
        if conditions.after_unscale is not None:
            conditions.after_unscale(optimizer)
