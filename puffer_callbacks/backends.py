"""All writers of a run, each kept from harming the others."""

from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer, XAxis, writer_for

FLUSH_SECONDS = 2.0
"""Rows reach the disk at the latest this long after they are written, as long as training steps go on."""


class Backends:
    """Feeds one row to every writer; one that raises is reported once and tried again with the next row.

    Args:
        loggers: the run's Lightning loggers; Lightning's ``DummyLogger`` (``fast_dev_run``) is passed over.
        faults: where a failing writer is reported.
    """

    def __init__(self, loggers: Iterable[Any], faults: Faults) -> None:
        self._faults = faults
        self._writers: list[Writer] = []
        self._flushed = monotonic()
        for logger in loggers:
            if type(logger).__name__ != "DummyLogger":
                self._attempt(logger, lambda logger=logger: self._writers.append(writer_for(logger)))

    def __bool__(self) -> bool:
        return bool(self._writers)

    def open(self, x_axis: XAxis, *, resume_after: int | None = None) -> None:
        """Set the x axis of every writer; after a resume, drop what lies beyond the checkpoint's last row."""
        for writer in self._writers:
            writer.x_axis = x_axis
            if resume_after is not None:
                self._attempt(writer.logger, lambda writer=writer: writer.resume(resume_after))

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row to every backend."""
        for writer in self._writers:
            self._attempt(writer.logger, lambda writer=writer: writer.write(values, axes))

    def flush(self) -> None:
        """Flush every backend."""
        self._flushed = monotonic()
        for writer in self._writers:
            self._attempt(writer.logger, writer.flush)

    def flush_if_due(self) -> None:
        """Flush where the last flush lies ``FLUSH_SECONDS`` back."""
        if monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()

    def close(self) -> None:
        """Close every writer; the loggers stay open for whoever made them."""
        for writer in self._writers:
            self._attempt(writer.logger, writer.close)

    def _attempt(self, logger: Any, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            name = type(logger).__name__
            reason = f"could not record ({type(error).__name__}: {error}); training and the other loggers go on"
            self._faults.report(name, reason, error)
