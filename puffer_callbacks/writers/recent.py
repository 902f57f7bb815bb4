"""The rows of the last seconds, which a backend may still hold in a buffer."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Image, Value, Video
from puffer_callbacks.values.packing import pack, unpack

BUFFERED_SECONDS = 20.0
"""W&B brings a row to its file within 15 seconds (its setting ``x_transaction_log_flush_interval``)."""


class RecentRows:
    """Rows of the last ``BUFFERED_SECONDS``, for a checkpoint to carry; pictures are left out, for their size.

    Example:
        >>> recent = RecentRows()
        >>> recent.add({"train/loss": 0.5}, Axes(None, 1, 0.0)); recent.add({"train/loss": 0.4}, Axes(None, 2, 60.0))
        >>> [axes.optimizer_steps for _, axes in recent.rows()]
        [2]
    """

    def __init__(self) -> None:
        self._rows: deque[tuple[Mapping[str, Value], Axes]] = deque()

    def add(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Remember a row, and forget those that are old by now."""
        self._rows.append((values, axes))
        while axes.wall_time - self._rows[0][1].wall_time > BUFFERED_SECONDS:
            self._rows.popleft()

    def rows(self) -> Iterator[tuple[Mapping[str, Value], Axes]]:
        """The rows, oldest first."""
        return iter(tuple(self._rows))

    def state_dict(self) -> list[Any]:
        """Plain numbers and lists."""
        return [[_packed(values), list(astuple(axes))] for values, axes in self._rows]

    def load_state_dict(self, state: list[Any]) -> None:
        """Take up the rows of a checkpoint."""
        self._rows = deque((_unpacked(values), Axes(*axes)) for values, axes in state)


def _packed(values: Mapping[str, Value]) -> dict[str, Any]:
    return {tag: pack(value) for tag, value in values.items() if not isinstance(value, Image | Video)}


def _unpacked(values: Mapping[str, Any]) -> dict[str, Value]:
    return {tag: unpack(value) for tag, value in values.items()}
