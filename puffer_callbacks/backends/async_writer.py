"""One backend on a thread of its own, so that neither its faults nor its slowness are the run's."""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.backends.unsaved_rows import Row
from puffer_callbacks.backends.worker import Worker
from puffer_callbacks.values import Image, Value, Video
from puffer_callbacks.writers import Writer

FLUSH_SECONDS = 2.0
"""A written row reaches the operating system at the latest this long after."""
HURRY = 1.0
"""Seconds that a checkpoint waits for a backend, unless it is known to be behind; what is not there it carries."""
PATIENCE = 5.0
"""Seconds that the end of the run waits for a backend that does not get on."""
MOST_WAITING = 1024
"""Rows that wait for a slow backend; what comes then is lost, and counted."""
MOST_PICTURED = 32
"""With so many rows waiting, pictures are left out: they are what takes the memory."""


class AsyncWriter:
    """Hands rows to a writer, in order, on a thread of its own.

    Rows are host copies, so the run never waits for them to be written. A writer that only keeps values in
    memory is called at once, without a thread. What becomes of a row that fails, ``RetryingWriter`` tells.

    Args:
        writer: the writer to feed. Only this channel calls it.
        in_step: wait for each row, so that a fault is known at the row that it belongs to.
    """

    def __init__(self, writer: Writer, *, in_step: bool = False) -> None:
        self.writer = writer
        self.name = type(writer.logger).__name__
        self.in_step = in_step
        self.rows = 0
        self._delivery = RetryingWriter(writer, contained=not writer.immediate)
        tick = partial(self.attempt, partial(self._delivery.flush, due=True))
        self._worker = None if writer.immediate else Worker(self.name, tick=tick, every=FLUSH_SECONDS)
        self._closed = self._stalled = self._stuck = False

    @property
    def faulty(self) -> bool:
        """Whether there was ever a fault."""
        return self._delivery.faulty

    @property
    def lost(self) -> int:
        """Rows that could not be recorded whole."""
        return self._delivery.lost

    def take_faults(self) -> list[BaseException]:
        """The faults since the last call."""
        return self._delivery.take_faults()

    @property
    def busy(self) -> float:
        """CPU seconds that the thread has spent."""
        return 0.0 if self._worker is None else self._worker.busy

    @property
    def is_here(self) -> bool:
        """Whether the caller is the channel's own thread."""
        return self._worker is not None and self._worker.is_here

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write a row."""
        self.rows += 1
        if self._worker is None:
            self._delivery.write(Row(values, axes))
        elif self._has_room():
            row = Row(self._bearable(values), axes)
            self._delivery.pending.add(row)
            if self.in_step:
                self._worker.hurried(self._do(partial(self._delivery.write, row)), PATIENCE)
            else:
                self._worker.do(partial(self.attempt, partial(self._delivery.write, row)))
        else:
            self._delivery.lost += 1

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do it now; tells whether it went well."""
        return self._delivery.attempt(action)

    def call(self, action: Callable[[], object], *, wait: bool = False) -> None:
        """Have the logger do something else, after all rows that came before."""
        if self._worker is None:
            self.attempt(action)
        elif self._has_room():
            done = self._do(action)
            if wait:
                self._worker.patient(done, PATIENCE)
            if self._closed:
                self._worker.end()

    def begin(self, first_step: int) -> None:
        """Have the writer begin with ``first_step``."""
        self._do(partial(self.writer.begin, first_step))

    def resume(self, last_step: int, state: Mapping[str, Any] | None) -> None:
        """Have the writer continue after ``last_step``, or as the checkpoint tells."""
        self._do(partial(self._delivery.resume, last_step, state))

    def flush(self) -> Event:
        """Flush the writer, after all rows that came before; the event tells when that is done."""
        return self._do(self._delivery.flush)

    def hurry(self, flushed: Event) -> None:
        """Wait a little for it to be flushed, unless it is known to be behind."""
        if self._worker is not None:
            self._worker.hurried(flushed, HURRY)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: what is safe, and the rows that are not yet."""
        return {"name": self.name, **self._delivery.pending.state_dict()}

    def finish(self) -> Event:
        """Close the writer, after all rows that came before."""
        return self._do(self._delivery.finish)

    def close(self, finished: Event) -> None:
        """Wait until the writer is closed, and end the thread; rows that are still waiting then are lost."""
        self._closed = True
        if self._worker is not None:
            if not self._worker.patient(finished, PATIENCE):
                self._stuck = True
                self._delivery.lost += sum(row.written is None for row in self._delivery.pending.rows())
                self._delivery.say(TimeoutError(f"it did not get on for {PATIENCE:.0f} seconds"))
            self._worker.end()

    def _has_room(self) -> bool:
        if self._worker is None:
            return True
        if self._worker.stalled > PATIENCE and not self._stalled:
            self._stalled = True
            self._delivery.say(TimeoutError(f"it did not get on for {PATIENCE:.0f} seconds"))
        if self._worker.waiting >= MOST_WAITING:
            self._delivery.say(TimeoutError(f"it is {MOST_WAITING} rows behind"))
            return False
        return not self._stuck

    def _bearable(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The row, without pictures where too many rows are waiting."""
        if self._worker is None or self._worker.waiting < MOST_PICTURED:
            return values
        kept = {tag: value for tag, value in values.items() if not isinstance(value, Image | Video)}
        if len(kept) < len(values):
            self._delivery.lost += 1
            self._delivery.say(TimeoutError(f"it is {MOST_PICTURED} rows behind; pictures are left out"))
        return kept

    def _do(self, action: Callable[[], object]) -> Event:
        done = Event()
        if self._worker is not None:
            self._worker.do(partial(self.attempt, action), done)
        else:
            self.attempt(action)
            done.set()
        return done
