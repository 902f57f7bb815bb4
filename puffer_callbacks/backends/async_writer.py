"""``AsyncWriter``: writes rows on a thread, so that a slow logger does not slow the run."""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from time import thread_time
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.announce import announced_if_slow
from puffer_callbacks.backends.retrying_writer import FLUSH_SECONDS, RetryingWriter
from puffer_callbacks.backends.unsaved_rows import without_pictures
from puffer_callbacks.backends.worker import Worker
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer

MAX_WAITING = 1024
"""Jobs that wait for a slow logger; rows beyond are lost, and counted."""
MAX_WAITING_WITH_PICTURES = 32
"""Rows with pictures that wait for a slow logger; further pictures are left out, as they are what takes the memory."""


class AsyncWriter(Writer):
    """Writes rows on a thread of its own, in order; only that thread calls the writer.

    Args:
        writer: the writer, with its retries.

    Example:
        >>> class PrintWriter(Writer):
        ...     def write(self, values, axes):
        ...         print(self.step(axes), values)
        >>> writer = AsyncWriter(RetryingWriter(PrintWriter(logger=None)))
        >>> writer.write({"train/loss": 0.5}, Axes(None, 10, 0.0))
        >>> writer.close()
        10 {'train/loss': 0.5}
    """

    checkpoint_timeout = 1.0
    """Seconds that ``flush`` waits; a checkpoint carries the rows that are not written by then."""
    close_timeout = 30.0
    """Seconds that one row may take before ``close`` gives up on the logger: W&B's first takes several on a busy
    machine. A longer wait is announced."""

    def __init__(self, writer: RetryingWriter) -> None:
        super().__init__(writer.logger)
        self.writer = writer
        self.name, self.faults, self._report = writer.name, writer.faults, writer.report
        self._worker = writer.worker = Worker(self.name, tick=writer.flush_new, every=FLUSH_SECONDS)
        self._x_axis = writer.x_axis
        self._given = self._finished = 0  # rows; each is counted by one thread alone
        self._busy_opening = 0.0
        self._is_closed = self._is_stuck = self._has_reported_stall = False

    @property
    def x_axis(self) -> XAxis:
        """The axis that the logger's step stands for."""
        return self._x_axis

    @x_axis.setter
    def x_axis(self, x_axis: XAxis) -> None:
        self._x_axis = x_axis
        self._do(partial(setattr, self.writer, "x_axis", x_axis))  # after the rows that wait: they are on the old axis

    @property
    def busy(self) -> float:  # type: ignore[override]  # as the thread counts it
        """CPU seconds that the thread has spent since the first row, with which W&B loads half a second of modules."""
        return max(0.0, self._worker.busy - self._busy_opening)

    @property
    def place(self) -> Any:
        """The writer's."""
        return self.writer.place

    @property
    def is_in_call(self) -> bool:
        """Whether this thread is in a call of the logger: one of its methods calls another."""
        return self.writer.is_in_call

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row soon; it is kept until it is durable."""
        self._report.rows += 1
        if self._accepts():
            row = self.writer.unsaved.add(self._with_room_for_pictures(values), axes)
            self._enqueue_row(partial(self.writer.write_row, row))
        else:
            self._report.add_loss()

    def call(self, action: Callable[[], Any]) -> Any:
        """Have the logger do something now, on the caller's thread."""
        return self.writer.call(action)

    def enqueue(self, action: Callable[[], Any], *, is_row: bool = False, wait: bool = False) -> Any:
        """Have the logger do something after all rows that came before, on the writer's thread.

        Args:
            action: what to do.
            is_row: whether it logs a row.
            wait: until it is done.
        """
        if self._is_closed and not self._is_stuck:
            return self.writer.enqueue(action, is_row=is_row)
        self._report.rows += is_row
        if not self._accepts():
            self._report.add_loss(rows=int(is_row))
        elif is_row:
            self._enqueue_row(partial(self.writer.call, action, is_row=True))
        else:
            done = self._do(partial(self.writer.call, action))
            if wait:
                self._worker.wait_until_done(done, stall=self.close_timeout)
        return None

    def drain(self) -> bool:
        """Wait until all rows are written, and return whether they are: those of a stalled logger are not."""
        if self._is_closed or not self._worker.is_alive:
            return not self._is_stuck
        with announced_if_slow(f"{self.name} to take {self._worker.waiting} rows"):
            return self._worker.wait_until_done(self._do(self.writer.flush), stall=self.close_timeout)

    def begin(self, first_step: int) -> None:
        """Begin a run, before the first row."""
        self._do(partial(self.writer.begin, first_step))

    def resume(self, last_step: int) -> None:
        """Continue after a checkpoint, before the first row. The rows that it carried are kept from now on, and written
        on the thread."""
        self._do(partial(self.writer.write_again, self.writer.restore(last_step)))

    def flush(self) -> None:
        """Flush the writer after all rows that came before, and wait a little, unless it is known to be slow."""
        if self._worker.is_alive:  # else there is nothing: a fit that has not begun starts no thread
            self._worker.wait_at_most(self._do(self.writer.flush), self.checkpoint_timeout)

    def close(self) -> None:
        """Write all rows, close the writer and end the thread; the rows of a stalled logger are lost."""
        self.drain()
        is_done = self._worker.wait_until_done(self._do(self.writer.close), stall=self.close_timeout)
        self._is_closed, self._is_stuck = True, not is_done
        if self._is_stuck:
            self._abandon()
        self._worker.end(wait=is_done)

    def state_dict(self) -> dict[str, Any]:
        """The writer's, with the rows that wait."""
        return self.writer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give the writer its part of a checkpoint."""
        self.writer.load_state_dict(state_dict)

    def _enqueue_row(self, action: Callable[[], object]) -> None:
        self._given += 1
        self._worker.do(partial(self._finish_row, action))

    def _finish_row(self, action: Callable[[], object]) -> None:
        action()
        self._finished += 1
        if self._finished == 1:
            self._busy_opening = thread_time()

    def _do(self, action: Callable[[], object]) -> Event:
        done = Event()
        self._worker.do(partial(self.writer.attempt, action), done)
        return done

    def _accepts(self) -> bool:
        """Whether one more job can wait."""
        if self._worker.stalled > self.close_timeout and not self._has_reported_stall:
            self._has_reported_stall = True
            self._report.add_fault(self._stall())
        if self._worker.waiting >= MAX_WAITING:
            self._report.add_fault(TimeoutError(f"it is {MAX_WAITING} rows behind"))
            return False
        return not self._is_stuck

    def _abandon(self) -> None:
        """Report the rows of a stalled logger as lost."""
        self._report.add_loss(self._given - self._finished)
        self._report.add_fault(self._stall())
        self._report.summarize()
        self._report.detach()

    def _stall(self) -> TimeoutError:
        return TimeoutError(f"it took more than {self.close_timeout:g} seconds for one row")

    def _with_room_for_pictures(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """A copy of the row, without its pictures where too many rows with some wait."""
        kept = values if self._worker.waiting < MAX_WAITING_WITH_PICTURES else without_pictures(values)
        if len(kept) == len(values) or self._waiting_with_pictures() < MAX_WAITING_WITH_PICTURES:
            return dict(values)
        self._report.add_loss()
        reason = f"it is {MAX_WAITING_WITH_PICTURES} rows with pictures behind; pictures are left out"
        self._report.add_fault(TimeoutError(reason))
        return kept

    def _waiting_with_pictures(self) -> int:
        waiting = [row.values for row in self.writer.unsaved.rows() if row.written is None]
        return sum(len(without_pictures(values)) < len(values) for values in waiting)
