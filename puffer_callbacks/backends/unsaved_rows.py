"""``UnsavedRows``: rows that a crash could still lose."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from threading import Lock
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Image, Value, Video
from puffer_callbacks.values.checkpointing import from_states, to_states

MAX_UNSAVED = 4096
"""Rows that are kept; of more, the oldest are forgotten, and counted."""


@dataclass(eq=False, slots=True)
class UnsavedRow:
    """A row that is not known to be durable.

    Args:
        values: tag to value; of one that could be written in part, what was written.
        axes: its point.
        written: when it was written, in seconds of ``time.monotonic``; ``None`` while it waits.
        lost: whether nothing of it could be written.
        counted: whether it is counted among those that could not be written whole.
    """

    values: Mapping[str, Value]
    axes: Axes
    written: float | None = None
    lost: bool = False
    counted: bool = False

    @property
    def parts(self) -> list[Mapping[str, Value]]:
        """The numbers of the row, and each of its other values by itself."""
        numbers = {tag: value for tag, value in self.values.items() if isinstance(value, float)}
        others: list[Mapping[str, Value]] = [{tag: value} for tag, value in self.values.items() if tag not in numbers]
        return [numbers, *others] if numbers else others


class UnsavedRows:
    """The rows that were given to a writer and are not yet durable.

    A checkpoint carries them, so that it need not wait for a slow backend: a resumed run writes them again.

    Args:
        step: the point of a row on the x axis.

    Example:
        >>> unsaved = UnsavedRows(lambda axes: axes.optimizer_steps)
        >>> for step in (1, 2): unsaved.add({"train/loss": 0.5}, Axes(None, step, 0.0)).written = float(step)
        >>> unsaved.mark_durable(written_by=1.0, writer_state={})
        >>> unsaved.durable_step, [row.axes.optimizer_steps for row in unsaved.rows()]
        (1, [2])
    """

    def __init__(self, step: Callable[[Axes], int]) -> None:
        self.durable_step: int | None = None
        """The step of the last durable row."""
        self._step = step
        self.writer_state: dict[str, Any] = {}
        """The writer's ``state_dict`` at that step."""
        self.forgotten = 0
        """Rows that were not known to be durable, and were too many to be kept."""
        self._rows: deque[UnsavedRow] = deque(maxlen=MAX_UNSAVED)
        self._lock = Lock()  # the run's thread adds rows and reads the state while the writer's writes

    @property
    def end(self) -> int:
        """The step after which rows are unsaved; -1 where none is durable."""
        return -1 if self.durable_step is None else self.durable_step

    @property
    def are_many(self) -> bool:
        """Whether half as many are kept as can be: a flush is due."""
        return 2 * len(self._rows) > MAX_UNSAVED

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue a checkpoint's part: its rows are to be written again."""
        self.durable_step = state["durable_step"]
        self.writer_state = state["writer_state"]
        for values, axes in state["rows"]:
            self.add(from_states(values), Axes(*axes))

    def add(self, values: Mapping[str, Value], axes: Axes) -> UnsavedRow:
        """Keep a row that is to be written."""
        row = UnsavedRow(values, axes)
        with self._lock:
            self.forgotten += len(self._rows) == self._rows.maxlen
            self._rows.append(row)
        return row

    def mark_durable(self, *, written_by: float, writer_state: dict[str, Any]) -> None:
        """Forget the rows that are durable now.

        Args:
            written_by: the time, as ``UnsavedRow.written`` gives it, up to which written rows are durable.
            writer_state: the writer's ``state_dict`` that goes with them.
        """
        with self._lock:
            self.writer_state = writer_state
            while self._rows and self._rows[0].written is not None and self._rows[0].written <= written_by:
                row = self._rows.popleft()
                if not row.lost:
                    self.durable_step = max(self._step(row.axes), self.end)

    def rows(self) -> list[UnsavedRow]:
        """The rows, oldest first."""
        with self._lock:
            return list(self._rows)

    def state_dict(self) -> dict[str, Any]:
        """The checkpoint's part, in plain numbers and lists; pictures are left out for their size."""
        with self._lock:
            rows = [
                [to_states(without_pictures(row.values)), list(astuple(row.axes))] for row in self._rows if not row.lost
            ]
            return {"durable_step": self.durable_step, "writer_state": self.writer_state, "rows": rows}


def without_pictures(values: Mapping[str, Value]) -> dict[str, Value]:
    """The values that are no image and no video: pictures are what takes the memory."""
    return {tag: value for tag, value in values.items() if not isinstance(value, Image | Video)}
