"""What becomes of rows on a backend's thread: written whole, or what can be saved of them."""

from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.backends.unsaved_rows import Row, UnsavedRows, unpacked
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer

_MOST_FAULTS = 1024
"""Faults that are kept until the run's thread asks."""


class RetryingWriter:
    """Brings rows to a writer. A row that fails is tried again without the value that is to blame, or after
    ``Writer.recover``; faults are kept for the run's thread to report.

    Args:
        writer: the writer.
        contained: whether nothing at all may be raised, as on a thread of its own.
    """

    def __init__(self, writer: Writer, *, contained: bool) -> None:
        self.writer = writer
        self.pending = UnsavedRows(writer.step)
        self._faults: list[BaseException] = []
        self.faulty = False
        self.lost = 0
        """Rows that could not be recorded whole."""
        self._contained = contained
        self._failing = self._dirty = False

    def write(self, row: Row) -> None:
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

    def flush(self, *, due: bool = False) -> None:
        """Flush the writer; where it is only due, if there is something new."""
        if due and not self._dirty:
            return
        self._dirty = self.writer.settles > 0
        if not self.attempt(partial(self._settle, monotonic())):
            self._failing = True

    def finish(self) -> None:
        """Close the writer."""
        if self._failing:
            self.attempt(self._reopen)
        self.attempt(self.writer.close)

    def resume(self, last_step: int, state: Mapping[str, Any] | None) -> None:
        """Have the writer continue after ``last_step``, or as the checkpoint tells."""
        if type(self.writer).resume is Writer.resume:  # it cannot go back: what was written stays
            return
        state = state or {"safe_to": last_step, "writer": {}, "rows": []}
        safe_to = self.pending.safe_to = -1 if state["safe_to"] is None else state["safe_to"]
        self.attempt(partial(self.writer.load_state_dict, state["writer"]))
        self.attempt(partial(self.writer.resume, safe_to))
        for row in unpacked(state["rows"]):
            if self.writer.step(row.axes) > safe_to:
                self.pending.add(row)
                self.write(row)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do it now; tells whether it went well."""
        try:
            action()
        except Exception as error:
            self.say(error)
        except BaseException as error:  # a logger that calls sys.exit, say, ends neither the thread nor the run
            if not self._contained:
                raise
            self.say(error)
        else:
            return True
        return False

    def say(self, error: BaseException) -> None:
        """Keep a fault."""
        self.faulty = True
        if len(self._faults) < _MOST_FAULTS:
            self._faults.append(error)

    def take_faults(self) -> list[BaseException]:
        """The faults since the last call."""
        faults = self._faults
        if faults:  # else the list stays: this is asked at every row, and a fault may come meanwhile
            self._faults = []
        return faults

    def _unwritten(self, parts: list[Mapping[str, Value]], axes: Axes) -> list[Mapping[str, Value]]:
        """The parts that fail twice: a backend may fail only sometimes."""
        return [part for part in parts if not (self._write_part(part, axes) or self._write_part(part, axes))]

    def _write_part(self, part: Mapping[str, Value], axes: Axes) -> bool:
        return self.attempt(partial(self.writer.write, part, axes))

    def _reopen(self) -> None:
        if self.writer.recover():
            for row in self.pending.rows():
                if row.written is not None and not row.lost:
                    self.writer.write(row.values, row.axes)

    def _settle(self, now: float) -> None:
        self.writer.flush()
        self.pending.settle(now - self.writer.settles, self.writer.state_dict())


def _parts(values: Mapping[str, Value]) -> list[Mapping[str, Value]]:
    """The numbers of a row, and each of its other values by itself."""
    numbers = {tag: value for tag, value in values.items() if isinstance(value, float)}
    others: list[Mapping[str, Value]] = [{tag: value} for tag, value in values.items() if tag not in numbers]
    return [numbers, *others] if numbers else others
