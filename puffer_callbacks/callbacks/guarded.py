"""``guarded``: hooks whose time counts as overhead and whose faults never end the run."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import nn

from puffer_callbacks.faults import Faults, PufferWarning, format_error
from puffer_callbacks.recorder.recorder import Recorder

C = TypeVar("C")
P = ParamSpec("P")
R = TypeVar("R")


def guarded(hook: Callable[Concatenate[C, Any, P], None]) -> Callable[Concatenate[C, Any, P], None]:
    """Decorate a hook: its time counts as overhead, and its faults never end the run."""
    sees_rollout, at_the_end = hook.__name__ == "on_rollout_end", hook.__name__ == "on_exception"

    @wraps(hook)
    def run(self: C, /, trainer: Any, *args: P.args, **kwargs: P.kwargs) -> None:
        recorder = Recorder.of(trainer)
        with recorder.faults.suppressed() if at_the_end else nullcontext(), recorder.guard(type(self).__name__):
            if sees_rollout:
                recorder.counters.see_rollout(kwargs.get("rollout", args[-1] if args else None))
            hook(self, trainer, *args, **kwargs)

    return run  # type: ignore[return-value]  # it may be called by keyword, too


def guarded_state(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], R]:
    """Decorate ``state_dict`` or ``load_state_dict``: where it fails the checkpoint is saved or loaded without it."""

    @wraps(method)
    def run(self: C, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            faults: Faults | None = getattr(self, "_faults", None)  # without one before the setup
            if faults is None or faults.strict or isinstance(error, PufferWarning):
                raise
            name = f"{type(self).__name__}, its part of a checkpoint"
            faults.report(name, f"left out after {format_error(error)}; training goes on", error)
            return {}  # type: ignore[return-value]  # no state

    return run


def can_run_alone(trainer: Any, pl_module: Any, *, name: str) -> bool:
    """Whether a forward pass of the model needs no other rank; if it does, one warning names what is left out."""
    model = getattr(trainer, "model", None)
    if not _is_sharded(model if isinstance(model, nn.Module) else pl_module):
        return True
    reason = "expected a model that is whole on each rank, got a sharded one (FSDP, ZeRO 3); left out"
    Recorder.of(trainer).faults.report(name, reason)
    return False


def _is_sharded(module: nn.Module) -> bool:
    """Whether each rank holds a part of the module's parameters, as with FSDP and DeepSpeed's ZeRO 3.

    A forward pass of such a module needs all ranks: on one alone it waits for ever.
    """
    if any(type(each).__name__ == "FullyShardedDataParallel" for each in module.modules()):
        return True
    return any(hasattr(parameter, "placements") or hasattr(parameter, "ds_id") for parameter in module.parameters())
