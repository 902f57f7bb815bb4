"""Rows on their way to a backend."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass
from threading import Lock
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Image, Value, Video
from puffer_callbacks.values.checkpointing import from_state, to_state

MOST_PENDING = 4096
"""Rows that are remembered; the oldest are forgotten."""


@dataclass(eq=False, slots=True)
class Row:
    """A row, and when it was written: ``None`` while it waits."""

    values: Mapping[str, Value]
    axes: Axes
    written: float | None = None
    lost: bool = False


class UnsavedRows:
    """Rows that were given to a backend and are not yet known to be where a crash cannot take them.

    A checkpoint carries them, so it waits for no backend: what a crash took is written again.

    Args:
        step: the point of a row on the x axis.

    Example:
        >>> pending = UnsavedRows(lambda axes: axes.optimizer_steps)
        >>> for step in (1, 2): pending.add(Row({"train/loss": 0.5}, Axes(None, step, 0.0), written=float(step)))
        >>> pending.settle(1.0, {})
        >>> pending.safe_to, [row.axes.optimizer_steps for row in pending.rows()]
        (1, [2])
    """

    def __init__(self, step: Callable[[Axes], int]) -> None:
        self.safe_to: int | None = None
        """The step of the last row that no crash can take."""
        self._step = step
        self._kept: dict[str, Any] = {}
        self._rows: deque[Row] = deque(maxlen=MOST_PENDING)
        self._lock = Lock()  # the run's thread adds and asks, the backend's writes and settles

    def add(self, row: Row) -> None:
        """Remember a row."""
        with self._lock:
            self._rows.append(row)

    def settle(self, before: float, kept: dict[str, Any]) -> None:
        """Forget the rows that were written ``before``: they are safe.

        Args:
            before: when they were written at the latest.
            kept: the state of the writer that goes with it.
        """
        with self._lock:
            self._kept = kept
            while self._rows and self._rows[0].written is not None and self._rows[0].written <= before:
                row = self._rows.popleft()
                if not row.lost:
                    self.safe_to = max(self._step(row.axes), -1 if self.safe_to is None else self.safe_to)

    def rows(self) -> list[Row]:
        """The rows, oldest first."""
        with self._lock:
            return list(self._rows)

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers and lists; pictures are left out, for their size."""
        with self._lock:
            rows = [[_packed(row.values), list(astuple(row.axes))] for row in self._rows if not row.lost]
            return {"safe_to": self.safe_to, "writer": self._kept, "rows": rows}


def unpacked(rows: list[Any]) -> list[Row]:
    """The rows that a checkpoint carried."""
    return [Row({tag: from_state(value) for tag, value in values.items()}, Axes(*axes)) for values, axes in rows]


def _packed(values: Mapping[str, Value]) -> dict[str, Any]:
    return {tag: to_state(value) for tag, value in values.items() if not isinstance(value, Image | Video)}
