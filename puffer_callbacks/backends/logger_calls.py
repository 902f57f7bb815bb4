"""``LoggerCalls``: Lightning's own calls of a logger go through the logger's writer and cannot end the run."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import partial
from typing import Any

from puffer_callbacks.backends.announce import announced_if_slow
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.faults import Faults

_ROW = "log_metrics"
_ENQUEUE = (_ROW, "save")
"""Done after the rows that came before, on the writer's thread."""
_WAIT = ("log_hyperparams",)
"""Done likewise, and waited for, as Lightning reads their result."""
_IMMEDIATE = ("log_graph", "after_save_checkpoint")
"""Done at once: they look at the module or at a checkpoint as it is now."""
_LAST = ("finalize",)
"""Done on the caller's thread once all rows are written, however long it takes."""
_ABSENT = object()

TakeRow = Callable[[Mapping[str, Any]], bool]


class LoggerCalls:
    """Routes the methods of the loggers of one destination by their writer, until they are finalized.

    Args:
        writer: what brings rows to the destination.
        faults: reported after each call, on the caller's thread.
        take_row: given the metrics of ``log_metrics``; where it returns true the logger is not called.
        keeps_rows: whether it is called all the same.
    """

    def __init__(
        self,
        writer: AsyncWriter | RetryingWriter,
        faults: Faults,
        *,
        take_row: TakeRow | None = None,
        keeps_rows: bool = False,
    ) -> None:
        self.writer = writer
        self._faults = faults
        self._take_row, self._keeps_rows = take_row, keeps_rows
        self._loggers: list[Any] = []
        self._last_row: tuple[Any, ...] | None = None

    def route(self, logger: Any, name: str) -> None:
        """Route a logger's methods; ``restore_calls`` leaves it as it was.

        Args:
            logger: the logger.
            name: its name in reports.
        """
        if self._loggers and all(logger is not other for other in self._loggers):
            reason = f"writes to the same place as {self.writer.name}; each row is written once"
            self._faults.report(name, reason)
        self._loggers.append(logger)
        for method_name in (*_ENQUEUE, *_WAIT, *_IMMEDIATE, *_LAST):
            method = getattr(logger, method_name, None)
            if callable(method) and hasattr(logger, "__dict__"):
                # past a class's own ``__setattr__``, so that the attribute can be taken off without a trace
                vars(logger)[method_name] = RoutedCall(logger, method_name, method, self)

    def call(self, name: str, action: "partial[Any]") -> Any:
        """Have a logger's method called, and report what failed.

        Args:
            name: of the method.
            action: the method with its arguments.
        """
        if self.writer.is_in_call:  # one method that calls another
            return action()
        returned = self._call(name, action)
        self._faults.report_deferred()
        return returned

    def _call(self, name: str, action: "partial[Any]") -> Any:
        if name in _IMMEDIATE:
            return self.writer.call(action)
        if name in _LAST and self.writer.drain():
            with announced_if_slow(f"{self.writer.name}.{name}"):
                return self.writer.call(action)
        if name == _ROW:
            is_taken = self._is_taken(action) and not self._keeps_rows
            if is_taken or self._is_repeated(action):
                return None
            if isinstance(self.writer, AsyncWriter):
                action = partial(action.func, *_snapshot(action.args), **_snapshot(action.keywords))
        return self.writer.enqueue(action, is_row=name == _ROW, wait=name in _WAIT)

    def _is_taken(self, action: "partial[Any]") -> bool:
        metrics = next(iter(action.args), action.keywords.get("metrics"))
        return self._take_row is not None and isinstance(metrics, Mapping) and self._take_row(metrics)

    def _is_repeated(self, action: "partial[Any]") -> bool:
        """Whether a row was just given to another logger of this destination: Lightning gives it to each in turn."""
        row = (*action.args, *action.keywords.values())
        before, self._last_row = self._last_row, row if len(self._loggers) > 1 else None
        return before is not None and len(before) == len(row) and all(map(_is_same, before, row))


class RoutedCall:
    """A logger's method, routed. In a copy of the logger it is the plain method again.

    Args:
        logger: the logger.
        name: of the method.
        method: the method, bound.
        calls: the logger's calls.
    """

    def __init__(self, logger: Any, name: str, method: Callable[..., Any], calls: LoggerCalls) -> None:
        self.replaced = vars(logger).get(name, _ABSENT)
        """What the instance itself had under this name."""
        if isinstance(self.replaced, RoutedCall):  # listed twice
            self.replaced, method = self.replaced.replaced, self.replaced._method
        self._logger, self._name, self._method, self._calls = logger, name, method, calls

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method by way of the logger's writer."""
        if self._name in _LAST and not self._calls.writer.is_in_call:
            restore_calls(self._logger)
        return self._calls.call(self._name, partial(self._method, *args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        """All else is the method's: a mock can still be asked for its calls."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._method, name)

    def __reduce__(self) -> tuple[Callable[[Any], Any], tuple[Any]]:
        return _plain, (self._method,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return deepcopy(self._method, memo)


def restore_calls(logger: Any) -> None:
    """Give a logger its own methods back, exactly as they were.

    Args:
        logger: any logger.
    """
    attributes = getattr(logger, "__dict__", {})
    for name, call in list(attributes.items()):
        if isinstance(call, RoutedCall):
            if call.replaced is _ABSENT:
                del attributes[name]
            else:
                attributes[name] = call.replaced


def _plain(method: Any) -> Any:
    return method


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, int) and one == other)


def _snapshot(value: Any) -> Any:
    """Tensors and arrays as they are now: the caller may change them before they are written."""
    if isinstance(value, Mapping):
        return {key: _snapshot(entry) for key, entry in value.items()}
    if type(value) in (tuple, list):
        return type(value)(map(_snapshot, value))
    if hasattr(value, "detach") and hasattr(value, "clone"):  # a tensor
        return value.detach().clone()
    if hasattr(value, "__array__") and hasattr(value, "copy"):
        return value.copy()
    return value
