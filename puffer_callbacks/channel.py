"""One backend on a thread of its own, so that neither its faults nor its slowness are the run's."""

from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from time import monotonic
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.pending import Pending, Row, unpacked
from puffer_callbacks.values import Image, Value, Video
from puffer_callbacks.worker import Worker
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


class Channel:
    """Hands rows to a writer, in order, on a thread of its own.

    Rows are host copies, so the run never waits for them to be written. A row that fails is tried again
    without the value that is to blame, or after ``Writer.recover``. Faults are kept for the run's thread to
    report. A writer that only keeps values in memory is called at once, without a thread.

    Args:
        writer: the writer to feed. Only this channel calls it.
        in_step: wait for each row, so that a fault is known at the row that it belongs to.
    """

    def __init__(self, writer: Writer, *, in_step: bool = False) -> None:
        self.writer = writer
        self.name = type(writer.logger).__name__
        self.in_step = in_step
        self.faults: list[BaseException] = []
        self.faulty = False
        self.rows = self.lost = 0
        tick = partial(self.attempt, partial(self._flush, due=True))
        self._worker = None if writer.immediate else Worker(self.name, tick=tick, every=FLUSH_SECONDS)
        self._pending = Pending(writer.step)
        self._failing = self._dirty = self._closed = self._stalled = self._stuck = False

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
            self._write(Row(values, axes))
        elif self._has_room():
            row = Row(self._bearable(values), axes)
            self._pending.add(row)
            if self.in_step:
                self._worker.hurried(self._do(partial(self._write, row)), PATIENCE)
            else:
                self._worker.do(partial(self.attempt, partial(self._write, row)))
        else:
            self.lost += 1

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
        self._do(partial(self._resume, last_step, state))

    def flush(self) -> Event:
        """Flush the writer, after all rows that came before; the event tells when that is done."""
        return self._do(self._flush)

    def hurry(self, flushed: Event) -> None:
        """Wait a little for it to be flushed, unless it is known to be behind."""
        if self._worker is not None:
            self._worker.hurried(flushed, HURRY)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps: what is safe, and the rows that are not yet."""
        return {"name": self.name, **self._pending.state_dict()}

    def finish(self) -> Event:
        """Close the writer, after all rows that came before."""
        return self._do(self._finish)

    def close(self, finished: Event) -> None:
        """Wait until the writer is closed, and end the thread; rows that are still waiting then are lost."""
        self._closed = True
        if self._worker is not None:
            if not self._worker.patient(finished, PATIENCE):
                self._stuck = True
                self.lost += sum(row.written is None for row in self._pending.rows())
                self._say(TimeoutError(f"it did not get on for {PATIENCE:.0f} seconds"))
            self._worker.end()

    def _has_room(self) -> bool:
        if self._worker is None:
            return True
        if self._worker.stalled > PATIENCE and not self._stalled:
            self._stalled = True
            self._say(TimeoutError(f"it did not get on for {PATIENCE:.0f} seconds"))
        if self._worker.waiting >= MOST_WAITING:
            self._say(TimeoutError(f"it is {MOST_WAITING} rows behind"))
            return False
        return not self._stuck

    def _bearable(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The row, without pictures where too many rows are waiting."""
        if self._worker is None or self._worker.waiting < MOST_PICTURED:
            return values
        kept = {tag: value for tag, value in values.items() if not isinstance(value, Image | Video)}
        if len(kept) < len(values):
            self.lost += 1
            self._say(TimeoutError(f"it is {MOST_PICTURED} rows behind; pictures are left out"))
        return kept

    def _do(self, action: Callable[[], object]) -> Event:
        done = Event()
        if self._worker is not None:
            self._worker.do(partial(self.attempt, action), done)
        else:
            self.attempt(action)
            done.set()
        return done

    def _write(self, row: Row) -> None:
        """Write the row: whole, or without the value that fails, or to a backend opened anew."""
        left = [row.values]
        if not self._failing:
            left = self._unwritten(left, row.axes)
            if left:
                parts = _parts(row.values)
                left = self._unwritten(parts, row.axes)
                self._failing = len(left) == len(parts)
        if self._failing and self.attempt(self._reopen):
            left = self._unwritten([row.values], row.axes)
            self._failing = bool(left)
        self.lost += bool(left)
        row.lost, row.written = bool(left), monotonic()
        self._dirty = True

    def _unwritten(self, parts: list[Mapping[str, Value]], axes: Axes) -> list[Mapping[str, Value]]:
        """The parts that fail twice: a backend may fail only sometimes."""
        return [part for part in parts if not (self._write_part(part, axes) or self._write_part(part, axes))]

    def _write_part(self, part: Mapping[str, Value], axes: Axes) -> bool:
        return self.attempt(partial(self.writer.write, part, axes))

    def _finish(self) -> None:
        if self._failing:
            self.attempt(self._reopen)
        self.attempt(self.writer.close)

    def _reopen(self) -> None:
        if self.writer.recover():
            for row in self._pending.rows():
                if row.written is not None and not row.lost:
                    self.writer.write(row.values, row.axes)

    def _flush(self, *, due: bool = False) -> None:
        if due and not self._dirty:
            return
        self._dirty = self.writer.settles > 0
        if not self.attempt(partial(self._settle, monotonic())):
            self._failing = True

    def _settle(self, now: float) -> None:
        self.writer.flush()
        self._pending.settle(now - self.writer.settles, self.writer.state_dict())

    def _resume(self, last_step: int, state: Mapping[str, Any] | None) -> None:
        if type(self.writer).resume is Writer.resume:  # it cannot go back: what was written stays
            return
        state = state or {"safe_to": last_step, "writer": {}, "rows": []}
        safe_to = self._pending.safe_to = -1 if state["safe_to"] is None else state["safe_to"]
        self.attempt(partial(self.writer.load_state_dict, state["writer"]))
        self.attempt(partial(self.writer.resume, safe_to))
        for row in unpacked(state["rows"]):
            if self.writer.step(row.axes) > safe_to:
                self._pending.add(row)
                self._write(row)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do it now; tells whether it went well."""
        try:
            action()
        except Exception as error:
            self._say(error)
        except BaseException as error:  # a logger that calls sys.exit, say, ends neither the thread nor the run
            if self._worker is None:
                raise
            self._say(error)
        else:
            return True
        return False

    def _say(self, error: BaseException) -> None:
        self.faulty = True
        if len(self.faults) < MOST_WAITING:
            self.faults.append(error)


def _parts(values: Mapping[str, Value]) -> list[Mapping[str, Value]]:
    """The numbers of a row, and each of its other values by itself."""
    numbers = {tag: value for tag, value in values.items() if isinstance(value, float)}
    others: list[Mapping[str, Value]] = [{tag: value} for tag, value in values.items() if tag not in numbers]
    return [numbers, *others] if numbers else others
