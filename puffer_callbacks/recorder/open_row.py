"""``OpenRow``: the row at the present point of the x axis."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.values import Value
from puffer_callbacks.values.checkpointing import from_states, to_states


class OpenRow:
    """Collects values until the x axis moves on, so that each series has one point for each x.

    A mean is recorded with the number of steps it is over: means of one tag at one x merge into the mean over all
    of those steps. Of other values the latest is kept.

    Example:
        >>> row = OpenRow()
        >>> row.record({"train/loss": 1.0}, count=3)
        >>> row.record({"train/loss": 5.0}, count=1)
        >>> row.values
        {'train/loss': 2.0}
    """

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.values)

    @property
    def numbers(self) -> dict[str, float]:
        """The values that are numbers."""
        return {tag: value for tag, value in self.values.items() if isinstance(value, float)}

    def record(self, values: Mapping[str, Value], *, count: int | None = None) -> None:
        """Add values; ``count`` is the number of steps that they are means over."""
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

    def pop(self) -> dict[str, Value]:
        """Return the values and empty the row."""
        values, self.values, self.counts = self.values, {}, {}
        return values

    def state_dict(self) -> dict[str, Any]:
        """The values and their counts, for a checkpoint."""
        return {"values": to_states(self.values), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue the row of a checkpoint."""
        self.values = from_states(state["values"])
        self.counts = dict(state["counts"])
