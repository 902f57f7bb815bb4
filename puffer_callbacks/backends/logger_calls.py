"""Lightning's own calls of a logger, which come by way of the logger's writer and cannot end the run."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from puffer_callbacks.backends.announce import announced_if_slow
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.retrying_writer import RetryingWriter

_ENQUEUE = ("log_metrics", "save")
"""Done after the rows that came before, on the writer's thread."""
_WAIT = ("log_hyperparams",)
"""The same, and waited for, as Lightning goes on with what they leave."""
_IMMEDIATE = ("log_graph", "after_save_checkpoint")
"""Done at once: they look at the module or at a checkpoint as it is now."""
_LAST = ("finalize",)
"""Done on the caller's thread once all rows are written, however long it takes."""
_ABSENT = object()


def route_calls(logger: Any, writer: AsyncWriter | RetryingWriter, *, after: Callable[[], object]) -> None:
    """Route a logger's methods by its writer until it is finalized: a full disk must not end the run.

    Args:
        logger: the logger; ``restore_calls`` leaves it as it was.
        writer: what brings rows to it.
        after: called on the caller's thread after each call, to report faults.
    """
    for name in (*_ENQUEUE, *_WAIT, *_IMMEDIATE, *_LAST):
        method = getattr(logger, name, None)
        if callable(method) and hasattr(logger, "__dict__"):
            # past a class's own ``__setattr__``, so that the attribute can be taken off without a trace
            vars(logger)[name] = RoutedCall(logger, name, method, writer, after)


def restore_calls(logger: Any) -> None:
    """Give a logger its own methods back, exactly as they were."""
    attributes = getattr(logger, "__dict__", {})
    for name, call in list(attributes.items()):
        if isinstance(call, RoutedCall):
            if call.replaced is _ABSENT:
                del attributes[name]
            else:
                attributes[name] = call.replaced


class RoutedCall:
    """A logger's method, routed by its writer. In a copy of the logger it is the plain method again.

    Args:
        logger: the logger.
        name: of the method.
        method: the method, bound.
        writer: what brings rows to the logger.
        after: called after each call.
    """

    def __init__(
        self,
        logger: Any,
        name: str,
        method: Callable[..., Any],
        writer: AsyncWriter | RetryingWriter,
        after: Callable[[], object],
    ) -> None:
        self.replaced = vars(logger).get(name, _ABSENT)
        """What the instance itself had under this name."""
        self._logger, self._name, self._method, self._writer, self._after = logger, name, method, writer, after

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method by way of the writer."""
        if self._writer.is_here:  # one method that calls another
            return self._method(*args, **kwargs)
        if self._name == "log_metrics" and isinstance(self._writer, AsyncWriter):
            args, kwargs = _snapshot(args), _snapshot(kwargs)
        returned = self._route(partial(self._method, *args, **kwargs))
        self._after()
        return returned

    def _route(self, action: Callable[[], Any]) -> Any:
        if self._name in _IMMEDIATE:
            return self._writer.call(action)
        if self._name in _LAST:
            restore_calls(self._logger)
            if self._writer.drain():
                with announced_if_slow(f"{self._writer.name}.{self._name}"):
                    return self._writer.call(action)
        return self._writer.enqueue(action, is_row=self._name == "log_metrics", wait=self._name in _WAIT)

    def __getattr__(self, name: str) -> Any:
        """All else is the method's: a mock can still be asked for its calls."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._method, name)

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _plain, (self._method,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self._method, memo)


def _plain(method: Any) -> Any:
    return method


def _snapshot(value: Any) -> Any:
    """Tensors and arrays as they are now: the caller may change them before they are written."""
    if isinstance(value, Mapping):
        return {key: _snapshot(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(map(_snapshot, value)) if type(value) in (tuple, list) else value
    if hasattr(value, "detach") and hasattr(value, "clone"):  # a tensor
        return value.detach().clone()
    if hasattr(value, "__array__") and hasattr(value, "copy"):
        return value.copy()
    return value
