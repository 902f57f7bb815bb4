"""``RetryingWriter``: a writer that contains the faults of another, and writes as much of each row as it can."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from threading import local
from time import monotonic
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.loss_report import LossReport
from puffer_callbacks.backends.refused_rows import RefusedRows
from puffer_callbacks.backends.unsaved_rows import MAX_UNSAVED, UnsavedRow, UnsavedRows
from puffer_callbacks.backends.worker import Worker
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer
from puffer_callbacks.writers.last_steps import keep_last_step

FLUSH_SECONDS = 2.0
"""A row is flushed about so many seconds after it was written."""
_MIN_FLUSH_SECONDS = 0.1
"""Seconds between flushes where very many rows are written in that time."""


class RetryingWriter(Writer):
    """Writes rows to another writer, whole or as far as it takes them, and raises nothing.

    A row that fails is tried again, then part by part, so that one value costs no other; where every part fails,
    ``Writer.recover`` is called and the row is tried once more, and again with each later row until the backend takes
    rows. Rows are kept until they are durable.

    Args:
        writer: the logger's writer.
        name: the logger's name in reports; its class by default.
        faults: where faults are reported.
    """

    worker: Worker | None = None
    """Whose thread writes the rows, if there is one: nothing may end it. On the training thread ``KeyboardInterrupt``
    and ``SystemExit`` end the run as ever."""

    def __init__(self, writer: Writer, *, name: str | None = None, faults: Faults | None = None) -> None:
        super().__init__(writer.logger)
        self.writer = writer
        self.name = writer.name = name or self.name
        self.faults = writer.faults = faults or self.faults
        self.report = LossReport(self.name, self.faults)
        self.unsaved = UnsavedRows(writer.step)
        self._refused = RefusedRows(self._is_written, self.report)
        self._is_failing = self._has_new_rows = False
        self._flushed_at = monotonic()
        self._calls = local()
        self._state: dict[str, Any] | None = None

    @property
    def x_axis(self) -> XAxis:
        """The axis that the logger's step stands for."""
        return self.writer.x_axis

    @x_axis.setter
    def x_axis(self, x_axis: XAxis) -> None:
        self.writer.x_axis = x_axis

    @property
    def place(self) -> Any:
        """The writer's."""
        return self.writer.place

    @property
    def is_in_call(self) -> bool:
        """Whether this thread is in a call of the logger: one of its methods calls another."""
        return getattr(self._calls, "depth", 0) > 0

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row, and flush from time to time."""
        self.report.rows += 1
        self.write_row(self.unsaved.add(values, axes))
        if monotonic() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def write_row(self, row: UnsavedRow) -> None:
        """Write a row of ``unsaved``: whole, or without the values that fail, or to a reopened backend."""
        failed = row.parts if self._is_failing else self._failed_parts(row)
        if failed and len(failed) == len(row.parts):
            self._refused.add(row)
            self._is_failing = not (self.attempt(self._reopen) and self._refused.write_again())
        else:
            row.written, self._is_failing = monotonic(), False
            self._refused.drain()
            if failed:
                self._refused.add_rest(row, failed)
        keep_last_step(self.place, self.writer.step(row.axes))
        self._has_new_rows = True
        if self.unsaved.are_many and monotonic() - self._flushed_at > _MIN_FLUSH_SECONDS:
            self.flush()

    def call(self, action: Callable[[], Any], *, is_row: bool = False) -> Any:
        """Have the logger do something now; returns what it returns, or ``None`` where it fails.

        Args:
            action: what to do.
            is_row: whether it logs a row, which is lost where it fails.
        """
        returned: list[Any] = []
        if not self.attempt(lambda: returned.append(action())):
            self.report.add_loss(rows=int(is_row))
        return returned[0] if returned else None

    def enqueue(self, action: Callable[[], Any], *, is_row: bool = False, wait: bool = False) -> Any:
        """Do the same as ``call``: without a thread there is no queue."""
        self.report.rows += is_row
        return self.call(action, is_row=is_row)

    def drain(self) -> bool:
        """Return that all rows are written: without a thread there is no queue."""
        return True

    def flush(self) -> None:
        """Flush the writer, and forget the rows that are durable then."""
        self._flushed_at = monotonic()
        self._has_new_rows = self.writer.durability_delay > 0
        self._is_failing |= not self.attempt(partial(self._mark_durable, self._flushed_at))
        if self.unsaved.forgotten:
            self.report.warn_of_crash(MAX_UNSAVED)

    def flush_new(self) -> None:
        """Flush the writer if there is anything new."""
        if self._has_new_rows:
            self.flush()

    def close(self) -> None:
        """Close the writer, and report in one line what was lost if anything failed."""
        if not self.faults.strict and (not self._is_failing or self.attempt(self._reopen)):
            self._refused.write_again()
        self._refused.give_up()
        self.attempt(self.writer.close)
        self.report.summarize()

    def begin(self, first_step: int) -> None:
        """Begin a run: what a checkpoint restores before a first row is durable is the state of now."""
        self.attempt(partial(self.writer.begin, first_step))
        self.attempt(partial(self._mark_durable, -math.inf))

    def resume(self, last_step: int) -> None:
        """Continue after the last durable row of the checkpoint, and write the rows that it carried again."""
        self.write_again(self.restore(last_step))

    def restore(self, last_step: int) -> list[UnsavedRow]:
        """Take back the rows that the checkpoint carried, ahead of any new one: the next checkpoint may need them.

        Returns:
            The rows, for ``write_again``; none where the writer cannot go back: what was written stays.
        """
        state, self._state = self._state, None
        state = state or {"durable_step": last_step, "writer_state": {}, "rows": []}
        self.unsaved.restore(state if self._can_go_back else {**state, "rows": []})
        return self.unsaved.rows()

    def write_again(self, rows: Iterable[UnsavedRow]) -> None:
        """Have the writer go back to the last durable row, and write the restored rows after it, those of its step
        too: it goes back to where it was before them."""
        end, writer_state = self.unsaved.end, self.unsaved.writer_state
        if writer_state:
            self.attempt(partial(self.writer.load_state_dict, writer_state))
        self.attempt(partial(self.writer.resume, end))
        for row in rows:
            self.write_row(row)

    def state_dict(self) -> dict[str, Any]:
        """The last durable step, the writer's state at it, and the rows after it; a checkpoint's until ``resume``."""
        return self.unsaved.state_dict() if self._state is None else dict(self._state)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep a checkpoint's part for ``resume``."""
        self._state = state_dict

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do something now, and return whether it went well; a fault is deferred."""
        self._calls.depth = getattr(self._calls, "depth", 0) + 1
        try:
            action()
        except BaseException as error:
            is_on_worker = self.worker is not None and self.worker.is_current()
            if not (isinstance(error, Exception) or is_on_worker):
                raise
            self.report.add_fault(error)
            return False
        finally:
            self._calls.depth -= 1
        return True

    @property
    def _can_go_back(self) -> bool:
        return type(self.writer).resume is not Writer.resume

    def _failed_parts(self, row: UnsavedRow) -> list[Mapping[str, Value]]:
        """The parts of a row that fail, where it cannot be written whole."""
        if self._is_written(row.values, row.axes):
            return []
        return [part for part in row.parts if not self._is_written(part, row.axes)]

    def _is_written(self, values: Mapping[str, Value], axes: Axes) -> bool:
        """Try twice, as a backend may fail only sometimes."""
        write = partial(self.writer.write, values, axes)
        return self.attempt(write) or self.attempt(write)

    def _reopen(self) -> None:
        if self.writer.recover():
            for row in self.unsaved.rows():
                if row.written is not None and not row.lost:
                    self.writer.write(row.values, row.axes)

    def _mark_durable(self, now: float) -> None:
        self.writer.flush()
        self.unsaved.mark_durable(written_by=now - self.writer.durability_delay, writer_state=self.writer.state_dict())
