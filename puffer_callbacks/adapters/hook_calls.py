"""Calls of callbacks where no trainer of Lightning's makes them: their hooks, and their part of a checkpoint."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from puffer_callbacks.recorder.recorder import Recorder

BeforeStep = Callable[[Optimizer], None]

_BASES = {"lightning.pytorch.callbacks.callback", "pytorch_lightning.callbacks.callback"}
_UNCHANGED = nullcontext()
_is_autocast = torch.is_autocast_enabled
# one call that reads no device's name, a fifth of the time: it is asked at every step
_may_be_autocast: Callable[[], bool] = getattr(torch._C, "_is_any_autocast_enabled", lambda: True)


def is_callback(candidate: object) -> bool:
    """Whether an object is a Lightning callback, of either namespace; a ``LightningModule`` has hooks too.

    Example:
        >>> from lightning.pytorch import Callback, LightningModule
        >>> is_callback(Callback()), is_callback(LightningModule()), is_callback("metrics")
        (True, False, False)
    """
    return callable(getattr(candidate, "setup", None)) and not isinstance(candidate, nn.Module)


def overriding(callbacks: Iterable[Any], hook: str) -> list[Callable[..., Any]]:
    """The bound hooks of those callbacks that have one of their own, in order.

    Example:
        >>> from lightning.pytorch import Callback
        >>> overriding([Callback()], "on_before_optimizer_step")
        []
    """
    hooks = [getattr(callback, hook, None) for callback in callbacks]
    return [call for call in hooks if callable(call) and getattr(call, "__module__", "") not in _BASES]


def callback_states(callbacks: Iterable[Any]) -> dict[str, Any]:
    """The callbacks' part of a checkpoint: their states by ``state_key``."""
    stateful = [callback for callback in callbacks if callable(getattr(callback, "state_dict", None))]
    return {callback.state_key: state for callback in stateful if (state := callback.state_dict())}


def load_callback_states(callbacks: Iterable[Any], states: Mapping[str, Any]) -> None:
    """Load each callback's state, where the checkpoint has one."""
    for callback in callbacks:
        state = states.get(getattr(callback, "state_key", ""))
        if state is not None:
            callback.load_state_dict(state)


def full_precision() -> AbstractContextManager[Any]:
    """A block outside of autocast: measures are exact, also in a trainer that never leaves it, as PuffeRL."""
    if not _may_be_autocast():
        return _UNCHANGED
    stack = ExitStack()
    for device in filter(_is_autocast, ("cpu", "cuda")):
        stack.enter_context(torch.autocast(device, enabled=False))
    return stack


@dataclass(frozen=True)
class OptimizerHooks:
    """The calls of ``on_before_optimizer_step``; each is ``None`` where no callback has that hook.

    Args:
        before_step: right before an optimizer's step, its gradients complete; for the recorder.
        before_clip: once before each step, its gradients complete and not yet clipped; for the user's own callbacks,
            as in Lightning.
        may_measure: whether the recorder may measure the step to come, at its clip where it has one.
    """

    before_step: BeforeStep | None
    before_clip: BeforeStep | None
    may_measure: Callable[[], bool]


def optimizer_hooks(adapter: Any) -> OptimizerHooks:
    """The hooks that the callbacks have.

    Args:
        adapter: what stands for the trainer.
    """
    recorder, module = Recorder.of(adapter), adapter.lightning_module
    stopwatch, may_measure = recorder.run.stopwatch, recorder.counters.may_inspect
    own = overriding((each for each in adapter.callbacks if each is not recorder), "on_before_optimizer_step")

    def before_step(optimizer: Optimizer) -> None:
        if not may_measure() or (measure := recorder.on_before_optimizer_step) is None:  # as at most steps
            return
        entered, inside = perf_counter(), stopwatch.inside
        with full_precision():
            measure(adapter, module, optimizer)
        stopwatch.inside = inside + perf_counter() - entered  # the blocks inside of it included

    def before_clip(optimizer: Optimizer) -> None:
        with full_precision():
            for hook in own:
                hook(adapter, module, optimizer)

    return OptimizerHooks(
        before_step=before_step if recorder.run.measures_gradients else None,
        before_clip=before_clip if own else None,
        may_measure=may_measure,
    )
