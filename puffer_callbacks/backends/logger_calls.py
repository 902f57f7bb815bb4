"""What Lightning itself asks of a logger, kept from ending the run."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial, wraps
from typing import Any

from puffer_callbacks.backends.async_writer import AsyncWriter

_UNATTENDED = ("log_metrics", "save")
"""Done after the rows that came before; nobody waits."""
_ATTENDED = ("log_hyperparams", "finalize")
"""Done after the rows that came before, and waited for, as Lightning goes on with what they leave."""
_AT_ONCE = ("log_graph", "after_save_checkpoint")
"""They look at the module or at a checkpoint, as it is now."""


def route_calls(logger: Any, channel: AsyncWriter, tell: Callable[[], object]) -> None:
    """Put a logger's methods under the care of its channel, until it is finalized: a full disk must not end
    the run.

    Args:
        logger: the logger; its methods are replaced on the instance.
        channel: what feeds it.
        tell: called on the caller's thread when a fault may have to be reported.
    """
    for name in (*_UNATTENDED, *_ATTENDED, *_AT_ONCE):
        method = getattr(logger, name, None)
        if callable(method):
            with suppress(AttributeError, TypeError):  # an instance that takes no attributes
                setattr(logger, name, _shielded(logger, name, method, channel, tell))


def restore_calls(logger: Any) -> None:
    """Give a logger its own methods back."""
    for name in (*_UNATTENDED, *_ATTENDED, *_AT_ONCE):
        if hasattr(getattr(logger, "__dict__", {}).get(name), "shielded"):
            delattr(logger, name)


def _shielded(
    logger: Any, name: str, method: Callable[..., Any], channel: AsyncWriter, tell: Callable[[], object]
) -> Callable[..., None]:
    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> None:
        if name == "finalize" and not channel.is_here:
            restore_calls(logger)
        if channel.in_step or channel.is_here:  # strict, or one method that calls another
            method(*args, **kwargs)
            return
        if name in _AT_ONCE:
            channel.attempt(partial(method, *args, **kwargs))
        else:
            if name == "log_metrics":
                args, kwargs = tuple(map(_frozen, args)), {key: _frozen(arg) for key, arg in kwargs.items()}
            channel.call(partial(method, *args, **kwargs), wait=name in _ATTENDED)
        tell()

    call.shielded = True  # type: ignore[attr-defined]
    return call


def _frozen(argument: Any) -> Any:
    """Metrics as they are now: the caller may change them before they are written."""
    if not isinstance(argument, Mapping):
        return argument
    return {key: value.item() if _is_number(value) else value for key, value in argument.items()}


def _is_number(value: Any) -> bool:
    return getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None))
