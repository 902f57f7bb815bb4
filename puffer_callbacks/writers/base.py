"""``Writer``: the interface between a run and a logger."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Set
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value


class Writer(ABC):
    """Writes whole rows to one logger.

    A subclass needs ``write`` alone. The writer opens the backend (an event file, a W&B run) through the
    logger and never closes it for good, as it stays the logger's own.

    Args:
        logger: the Lightning logger to write to.

    Example:
        >>> class PrintWriter(Writer):
        ...     def write(self, values, axes):
        ...         print(self.step(axes), dict(values))
        >>> PrintWriter(logger=None).write({"train/loss": 0.5}, Axes(None, 10, 0.0))
        10 {'train/loss': 0.5}
    """

    x_axis: XAxis = "optimizer_steps"
    """The axis that the logger's step stands for; set before the first row."""

    immediate = False
    """Whether rows are written on the training thread, at once: for a logger that only keeps values in memory, or
    whose client must stay on one thread, as SQLite's. All others are written to on a thread of their own."""

    durability_delay = 0.0
    """Seconds after a flush for which a crash can still lose a row, as the backend keeps a buffer of its own."""

    excluded: Set[str] = frozenset()
    """Tags that the logger is given by others too: rows for it leave them out, so that each has one series."""

    reserved: Set[str] = frozenset()
    """Names that the backend has for itself; see ``without_reserved``."""

    busy = 0.0
    """CPU seconds spent so far on a thread of the writer's own."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger
        self.name = type(logger).__name__
        """The logger's name in reports: its class, numbered where a run has several of one class."""
        self.faults = Faults()
        """Where the writer reports what it leaves out, by ``defer``: the run's own, once it belongs to a run."""

    @property
    def destination(self) -> Hashable:
        """Where rows go: of several writers with one destination only the first is given rows."""
        return id(self.logger)

    @property
    def place(self) -> Any:
        """What earlier rows of this process were given to, for ``last_step_of``: the logger, or what several share."""
        return self.logger

    @abstractmethod
    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write one row: all values of the run at one point of its axes."""

    def flush(self) -> None:
        """Make what was written durable: a crash of this process can no longer lose it."""

    def close(self) -> None:
        """Flush for the last time in this fit."""
        self.flush()

    def recover(self) -> bool:
        """Reopen what may be broken: called after a fault, before the row is tried again.

        Returns:
            Whether rows written since the last flush, or within ``durability_delay`` of it, must be written again.
        """
        return False

    def begin(self, first_step: int) -> None:
        """Begin a run that is not resumed at ``first_step``; an earlier run may have left rows in the same place."""

    def resume(self, last_step: int) -> None:
        """Continue after ``last_step``, the last durable row of the checkpoint, and drop later rows."""

    def state_dict(self) -> dict[str, Any]:
        """The writer's part of a checkpoint: plain numbers, strings, lists and dicts."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the writer's part of a checkpoint; ``resume`` comes after it."""

    def step(self, axes: Axes) -> int:
        """The point of a row on the x axis."""
        if self.x_axis == "env_steps" and axes.env_steps is not None:
            return axes.env_steps
        return axes.optimizer_steps

    def without_reserved(self, values: Mapping[str, Value]) -> Mapping[str, Value]:
        """The row without the tags that are names of the backend's own, each of which is reported."""
        taken = set() if self.tag("") else values.keys() & self.reserved
        for tag in sorted(taken):
            reason = f"expected another tag than {tag!r}, a name of its own; these values are left out"
            self.faults.defer(f"{self.name}, {tag}", reason)
        return {tag: value for tag, value in values.items() if tag not in taken} if taken else values

    def tag(self, tag: str) -> str:
        """The tag with the logger's own prefix, joined as Lightning's loggers do."""
        prefix = getattr(self.logger, "_prefix", "")
        return f"{prefix}-{tag}" if prefix else tag
