"""The one interface between a run and a backend."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.values import Value


class Writer(ABC):
    """Writes whole rows to one logger's backend.

    Args:
        logger: the Lightning logger to feed. Its backend stays the logger's own: a writer opens it through
            the logger and never closes it for good.

    Example:
        >>> class Lines(Writer):
        ...     def write(self, values, axes):
        ...         print(self.step(axes), dict(values))
        >>> Lines(logger=None).write({"train/loss": 0.5}, Axes(None, 10, 0.0))
        10 {'train/loss': 0.5}
    """

    x_axis: XAxis = "optimizer_steps"
    """The axis that the backend's own step stands for; set before the first row."""

    immediate = False
    """Whether writing is so quick and safe, as in memory, that it needs no thread of its own."""

    settles = 0.0
    """Seconds after a flush for which the backend may still hold a row in a buffer of its own."""

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    @abstractmethod
    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write all that the run says at ``axes``: one event, one row."""

    def flush(self) -> None:
        """Bring what was written to where a crash cannot take it."""

    def close(self) -> None:
        """Flush for the last time in this fit."""
        self.flush()

    def recover(self) -> bool:
        """Called after a fault, before the backend is tried again: open anew what may be broken.

        Returns:
            Whether what was written since the last flush, or within ``settles`` of it, has to be written
            again.
        """
        return False

    def begin(self, first_step: int) -> None:
        """Begin a run that is not resumed at ``first_step``: an earlier run may have left rows in the same place."""

    def resume(self, last_step: int) -> None:
        """Continue after ``last_step``, the last row that the checkpoint knows to be safe: drop what is later."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps for this backend: plain numbers, strings, lists and dicts."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what a checkpoint kept, before ``resume``."""

    def step(self, axes: Axes) -> int:
        """The point on the x axis."""
        if self.x_axis == "env_steps" and axes.env_steps is not None:
            return axes.env_steps
        return axes.optimizer_steps

    def tag(self, tag: str) -> str:
        """The tag with the logger's own prefix, as Lightning's loggers join it."""
        prefix = getattr(self.logger, "_prefix", "")
        return f"{prefix}-{tag}" if prefix else tag
