"""One backend on a thread of its own, so that neither its faults nor its slowness are the run's."""

from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic, thread_time
from typing import NamedTuple

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer

FLUSH_SECONDS = 2.0
"""A written row reaches the operating system at the latest this long after."""
PATIENCE = 10.0
"""Seconds that a checkpoint or the end of the run waits for a backend to catch up."""
MOST_WAITING = 1024
"""Rows that wait for a slow backend; what comes then is lost, and counted."""


class _Job(NamedTuple):
    action: Callable[[], object]
    rows: int
    done: Event | None


class Channel:
    """Hands jobs to a writer, in order, on a thread of its own.

    Rows are host copies, so the run does not wait for them to be written; it does wait, up to ``PATIENCE``, where a
    checkpoint or its end must know them written. Faults are kept for the run's thread to report. A writer that only
    keeps values in memory is called at once, without a thread.

    Args:
        writer: the writer to feed. Only this channel calls it.
        in_step: wait for each row, so that a fault is known at the row that it belongs to.
    """

    def __init__(self, writer: Writer, *, in_step: bool = False) -> None:
        self.writer = writer
        self.name = type(writer.logger).__name__
        self.faults: list[Exception] = []
        self.lost = 0
        self.busy = 0.0
        self._in_step = in_step
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._failing = False
        self._dirty = False
        self._flushed = monotonic()

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write a row."""
        self.do(lambda: self._write(values, axes), rows=1, wait=self._in_step)

    def resume(self, last_step: int) -> None:
        """Have the writer continue after ``last_step``."""
        self.do(lambda: self.writer.resume(last_step))

    def flush(self) -> None:
        """Flush the writer, after all rows that came before."""
        self.do(self.writer.flush, wait=True)

    def do(self, action: Callable[[], object], *, rows: int = 0, wait: bool = False) -> bool:
        """Have it done after all that came before; tells whether it is done already."""
        if self.writer.immediate:
            self._attempt(action, rows)
            return True
        if self._jobs.qsize() >= MOST_WAITING:
            self.lost += rows
            return False
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"puffer_callbacks {self.name}", daemon=True)
            self._thread.start()
        job = _Job(action, rows, Event() if wait else None)
        self._jobs.put(job)
        return job.done is not None and job.done.wait(PATIENCE)

    def close(self) -> None:
        """Close the writer and end the thread; rows that are still waiting then are lost."""
        if not self.do(self.writer.close, wait=True):
            self.lost += self._jobs.qsize()
            self.faults.append(TimeoutError(f"it did not catch up within {PATIENCE:.0f} seconds"))
        self._jobs.put(None)
        self._thread = None

    def _work(self) -> None:
        while True:
            try:
                job = self._jobs.get(timeout=FLUSH_SECONDS if self._dirty else None)
            except Empty:
                self._flush()
                continue
            if job is None:
                return
            self._attempt(job.action, job.rows)
            if monotonic() - self._flushed > FLUSH_SECONDS:
                self._flush()
            self.busy = thread_time()
            if job.done is not None:
                job.done.set()

    def _flush(self) -> None:
        self._flushed, self._dirty = monotonic(), False
        self._attempt(self.writer.flush, 0)

    def _attempt(self, action: Callable[[], object], rows: int) -> None:
        try:
            if self._failing:
                self.writer.recover()
            action()
            self._failing = False
            self._dirty = self._dirty or rows > 0
        except Exception as error:
            self.lost += rows
            self._failing = True
            self.faults.append(error)

    def _write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row; where one of its values is what fails, the others still get through."""
        try:
            self.writer.write(values, axes)
        except Exception as error:
            numbers = {tag: value for tag, value in values.items() if isinstance(value, float)}
            if self._failing or len(numbers) == len(values):
                raise
            self.faults.append(error)
            self.lost += 1
            parts = [numbers] if numbers else []
            parts += [{tag: value} for tag, value in values.items() if tag not in numbers]
            for part in parts:
                self._attempt(lambda part=part: self.writer.write(part, axes), 0)
            self._failing = False
