"""Lightning's per-batch hooks that a callback does not use, hidden while a fit runs.

Lightning spends about 2 µs on each hook of each callback, empty or not, but skips one that is not callable. Six
hooks of eight callbacks are a tenth of a small training step, so the recorder hides the idle ones on the instances
that the trainer itself calls, and shows them again at the end. This is the only place that replaces methods.
"""

from collections.abc import Callable
from typing import Any

from lightning.pytorch import Callback

PER_BATCH_HOOKS = (
    "on_train_batch_start",
    "on_train_batch_end",
    "on_before_backward",
    "on_after_backward",
    "on_before_zero_grad",
    "on_before_optimizer_step",
)


class HookWhenDue:
    """A hook that is ``None`` at most steps, so that Lightning passes it over; it is hidden like any other.

    Args:
        hook: given the callback, returns the bound hook, or ``None`` where it is not due.
    """

    def __init__(self, hook: Callable[[Any], Callable[..., None] | None]) -> None:
        self._hook, self.__doc__ = hook, hook.__doc__

    def __get__(self, callback: Any, owner: type | None = None) -> Any:
        return self if callback is None else self._hook(callback)


def hide_idle_hooks(callback: object) -> None:
    """Hide the hooks that the callback's class, which stays as it is, inherits unchanged from Lightning's, and those
    that the callback names as unused."""
    unused = getattr(callback, "unused_hooks", ())
    for hook in PER_BATCH_HOOKS:
        if getattr(type(callback), hook, None) in (getattr(Callback, hook), *unused):
            vars(callback).setdefault(hook, None)


def show_idle_hooks(callback: object) -> None:
    """Undo ``hide_idle_hooks``."""
    for hook in PER_BATCH_HOOKS:
        if vars(callback).get(hook, callback) is None:
            delattr(callback, hook)


def has_own_hook(module: object, hook: str) -> bool:
    """Whether a module has a hook other than the empty one of ``ModelHooks``, of which Lightning has two copies.

    Example:
        >>> from lightning.pytorch import LightningModule
        >>> has_own_hook(LightningModule(), "on_fit_end")
        False
    """
    return any(hook in vars(each) and each.__name__ != "ModelHooks" for each in type(module).__mro__)
