"""``default_writer``: the writers of a run, composed."""

from collections.abc import Hashable, Iterable, Mapping, Set
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.logger_calls import LoggerCalls, TakeRow, restore_calls
from puffer_callbacks.backends.multi_writer import MultiWriter
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer, writer_for
from puffer_callbacks.writers.fallback import FallbackWriter


def default_writer(
    loggers: Iterable[Any], faults: Faults, *, take_row: TakeRow | None = None, logged_names: Set[str] = frozenset()
) -> MultiWriter:
    """The writer that brings a run's rows to all of its loggers.

    ``MultiWriter`` → ``AsyncWriter`` → ``RetryingWriter`` → the logger's own, such as ``TensorBoardWriter``. A
    logger whose writer is ``immediate`` is written to on the training thread; with ``strict`` faults all are.

    Args:
        loggers: the run's Lightning loggers; Lightning's ``DummyLogger`` (``fast_dev_run``) is passed over.
        faults: where a failing logger is reported.
        take_row: given what others log by ``log_metrics``; see ``LoggerCalls``.
        logged_names: the tags of rows that were taken. A logger without a writer of ours, and one whose
            ``log_metrics`` the user has replaced, is given those rows as Lightning gives them, and not ours.

    Example:
        >>> from puffer_callbacks import Axes, MemoryLogger
        >>> logger = MemoryLogger()
        >>> default_writer([logger], Faults()).write({"train/loss": 0.5}, Axes(None, 10, 0.0))
        >>> logger.series("train/loss")
        [(10, 0.5)]
    """
    calls: dict[Hashable, LoggerCalls] = {}
    for name, logger in _named(loggers):
        restore_calls(logger)  # a fit that was cut short may have left them routed
        writer = _open(logger)
        if writer.destination not in calls:
            retrying = RetryingWriter(writer, name=name, faults=faults)
            is_immediate = writer.immediate or faults.strict
            routed = retrying if is_immediate else AsyncWriter(retrying)
            keeps_rows = isinstance(writer, FallbackWriter) or _has_own_log_metrics(logger)
            if keeps_rows:
                routed.excluded = logged_names
            calls[writer.destination] = LoggerCalls(routed, faults, take_row=take_row, keeps_rows=keeps_rows)
        calls[writer.destination].route(logger, name)
    return MultiWriter([each.writer for each in calls.values()], faults)


def _named(loggers: Iterable[Any]) -> list[tuple[str, Any]]:
    """Each logger with its class as its name, numbered where there are several of one class."""
    listed = [logger for logger in loggers if type(logger).__name__ != "DummyLogger"]
    kinds = {id(logger): type(logger).__name__ for logger in listed}
    names: dict[int, str] = {}
    for key, kind in kinds.items():
        alike = [other for other in kinds if kinds[other] == kind]
        names[key] = kind if len(alike) == 1 else f"{kind} #{alike.index(key) + 1}"
    return [(names[id(logger)], logger) for logger in listed]


def _open(logger: Any) -> Writer:
    """The logger's writer, with the logger's backend open: two threads must not both open it later."""
    try:
        writer = writer_for(logger)
        if not writer.immediate:
            getattr(logger, "experiment", None)
        hash(writer.destination)
    except Exception as error:
        return _UnopenedWriter(logger, error)
    return writer


def _has_own_log_metrics(logger: Any) -> bool:
    """Whether ``log_metrics`` is set on the object itself, by the user, or a mock's."""
    return not hasattr(type(logger), "log_metrics") or "log_metrics" in getattr(logger, "__dict__", {})


class _UnopenedWriter(Writer):
    """Stands in for the writer of a logger that could not be opened, and fails with the reason."""

    immediate = True

    def __init__(self, logger: Any, error: Exception) -> None:
        super().__init__(logger)
        self._error = error

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        raise self._error
