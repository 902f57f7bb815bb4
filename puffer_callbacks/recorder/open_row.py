"""A row: all that a run says at one point of its x axis."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.values import Value
from puffer_callbacks.values.checkpointing import from_state, to_state


class Row:
    """Gathers values until the x axis moves on, so that each series has one point for each x.

    A mean is put with the number of steps it is over: means of one tag at one x merge into the mean over all
    of those steps. Of other values the latest stands.

    Example:
        >>> row = Row()
        >>> row.put({"train/loss": 1.0}, count=3)
        >>> row.put({"train/loss": 5.0}, count=1)
        >>> row.values
        {'train/loss': 2.0}
    """

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.values)

    def put(self, values: Mapping[str, Value], *, count: int | None = None) -> None:
        """Add values; ``count`` tells over how many steps they are means."""
        if count is None:
            self.values.update(values)
            self.counts = {tag: steps for tag, steps in self.counts.items() if tag not in values}
            return
        if not self.values:  # as nearly always
            self.values, self.counts = dict(values), dict.fromkeys(values, count)
            return
        for tag, value in values.items():
            before, there = self.counts.get(tag, 0), self.values.get(tag)
            if not before:
                self.values[tag] = value
            elif count and isinstance(value, float) and isinstance(there, float):
                self.values[tag] = there + (value - there) * (count / (before + count))
            self.counts[tag] = before + count

    def take(self) -> dict[str, Value]:
        """The values; the row is empty afterwards."""
        values, self.values, self.counts = self.values, {}, {}
        return values

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps of an open row."""
        return {
            "values": {tag: to_state(value) for tag, value in self.values.items()},
            "counts": dict(self.counts),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Open the row of a checkpoint again."""
        self.values = {tag: from_state(packed) for tag, packed in state["values"].items()}
        self.counts = dict(state["counts"])
