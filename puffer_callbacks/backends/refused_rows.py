"""``RefusedRows``: rows that a backend refused, as on a full disk, until it takes rows again."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from time import monotonic

from puffer_callbacks.axes import Axes
from puffer_callbacks.backends.loss_report import LossReport
from puffer_callbacks.backends.unsaved_rows import MAX_UNSAVED, UnsavedRow, without_pictures
from puffer_callbacks.values import Value

MAX_WITH_PICTURES = 32
"""Rows that keep their pictures, which take the memory."""


class RefusedRows:
    """Rows that could not be written, and what remains of those that could be written in part, in their order.

    Args:
        write: tries to write values at a point, and returns whether it did.
        report: where rows that are lost are counted.

    Example:
        >>> from puffer_callbacks.faults import Faults
        >>> disk, is_full = [], True
        >>> write = lambda values, axes: not is_full and disk.append(values) is None
        >>> rows = RefusedRows(write, LossReport("CSVLogger", Faults()))
        >>> rows.add(UnsavedRow({"train/loss": 0.5}, Axes(None, 10, 0.0)))
        >>> rows.write_again(), disk
        (False, [])
        >>> is_full = False
        >>> rows.write_again(), disk
        (True, [{'train/loss': 0.5}])
    """

    def __init__(self, write: Callable[[Mapping[str, Value], Axes], bool], report: LossReport) -> None:
        self._write, self._report = write, report
        self._rows: deque[UnsavedRow] = deque()

    def add(self, row: UnsavedRow) -> None:
        """Keep a row that was refused."""
        kept = row.values if len(self._rows) < MAX_WITH_PICTURES else without_pictures(row.values)
        if not kept:
            self._give_up(row)
            return
        if len(kept) < len(row.values):
            row.values = kept
            self._count(row)
        self._rows.append(row)
        if len(self._rows) > MAX_UNSAVED:
            self._give_up(self._rows.popleft())

    def add_rest(self, row: UnsavedRow, parts: Iterable[Mapping[str, Value]]) -> None:
        """Keep the parts of a row that were refused, apart from it: it is durable with what was written."""
        rest = {tag: value for part in parts for tag, value in part.items()}
        if rest:
            row.values = {tag: value for tag, value in row.values.items() if tag not in rest}
            self.add(UnsavedRow(rest, row.axes))

    def write_again(self) -> bool:
        """Write all rows if the backend takes rows again, and return whether it does.

        Where the first is refused once more, the last is tried: the first may be what the backend never takes.
        """
        ends = dict.fromkeys((self._rows[0], self._rows[-1])) if self._rows else {}
        takes_rows = any(map(self._is_written, ends))
        if takes_rows:
            self.drain()
        return takes_rows

    def drain(self) -> None:
        """Write all rows: the backend takes rows, so that one that it still refuses is lost."""
        while self._rows:
            row = self._rows.popleft()
            if row.written is None and not self._is_written(row):
                self._give_up(row)

    def give_up(self) -> None:
        """The logger is closed: what was not written is lost."""
        while self._rows:
            self._give_up(self._rows.popleft())

    def _is_written(self, row: UnsavedRow) -> bool:
        if not self._write(row.values, row.axes):
            return False
        row.written = monotonic()
        return True

    def _give_up(self, row: UnsavedRow) -> None:
        row.written, row.lost = monotonic(), True
        self._count(row)

    def _count(self, row: UnsavedRow) -> None:
        """Count a row that is not written whole, once."""
        if not row.counted:
            row.counted = True
            self._report.add_loss()
