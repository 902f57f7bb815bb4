"""``MultiWriter``: a writer that writes to several."""

from collections.abc import Mapping, Sequence
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value
from puffer_callbacks.writers import Writer
from puffer_callbacks.writers.fallback import ValuesWriter
from puffer_callbacks.writers.last_steps import last_step_of


class MultiWriter(Writer):
    """Writes each row to every one of its writers, and then reports what failed.

    Args:
        writers: the writers, one for each logger.
        faults: the run's; the writers defer their faults to it.

    Example:
        >>> class PrintWriter(Writer):
        ...     def write(self, values, axes):
        ...         print(self.logger, dict(values))
        >>> writer = MultiWriter([PrintWriter("first"), PrintWriter("second")], Faults())
        >>> writer.write({"train/loss": 0.5}, Axes(None, 10, 0.0))
        first {'train/loss': 0.5}
        second {'train/loss': 0.5}
    """

    def __init__(self, writers: Sequence[Writer], faults: Faults) -> None:
        super().__init__(logger=None)
        self.writers = list(writers)
        self.faults = faults

    @property
    def x_axis(self) -> XAxis:
        """The axis that the loggers' step stands for."""
        return self.writers[0].x_axis if self.writers else Writer.x_axis

    @x_axis.setter
    def x_axis(self, x_axis: XAxis) -> None:
        for writer in self.writers:
            writer.x_axis = x_axis

    @property
    def busy(self) -> float:  # type: ignore[override]  # the sum over the writers
        """CPU seconds spent on threads of the writers: the most that they can have taken from the run."""
        return sum(writer.busy for writer in self.writers)

    def add_listener(self, listener: Any) -> None:
        """Give whole rows to one more object, on this thread.

        Args:
            listener: any with ``log_values(values, step)``; it is no logger of the run and has no part in a checkpoint.
        """
        writer = ValuesWriter(listener)
        writer.x_axis = self.x_axis
        self.writers.append(writer)

    def begin(self, first_step: int) -> None:
        """Begin a run in every logger, and warn if one has later rows of an earlier run."""
        self._report_later_rows(first_step)
        for writer in self.writers:
            writer.begin(first_step)
        self.faults.report_deferred()

    def resume(self, last_step: int) -> None:
        """Continue after the checkpoint in every logger."""
        for writer in self.writers:
            writer.resume(last_step)
        self.faults.report_deferred()

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row to every logger, without the tags that it has from others."""
        for writer in self.writers:
            excluded = writer.excluded
            kept = {tag: value for tag, value in values.items() if tag not in excluded} if excluded else values
            writer.write(kept, axes)
        self.faults.report_deferred()

    def flush(self) -> None:
        """Flush every logger; one that is known to be slow is not waited for."""
        for writer in self.writers:
            writer.flush()
        self.faults.report_deferred()

    def close(self) -> None:
        """Close every writer and report what was lost; the loggers stay open for their owner."""
        for writer in self.writers:
            writer.close()
        self.faults.report_deferred()

    def state_dict(self) -> dict[str, Any]:
        """The checkpoint's part for each logger, with the logger's class."""
        return {"writers": [{"kind": type(each.logger).__name__, **each.state_dict()} for each in self.writers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Give each state to the first logger of its class that has none: a run may list its loggers anew."""
        states = list(state_dict["writers"])
        for writer in self.writers:
            kind = type(writer.logger).__name__
            at = next((at for at, state in enumerate(states) if state["kind"] == kind), None)
            if at is not None:
                writer.load_state_dict(states.pop(at))

    def _report_later_rows(self, first_step: int) -> None:
        last_steps = {writer.name: last_step_of(writer.place) or 0 for writer in self.writers}
        names = [name for name, step in last_steps.items() if step > first_step]
        if names:
            have = f"expected no rows after step {first_step}, where this run begins, got rows up to step"
            advice = "both runs are kept; give each run a logger, or a version, of its own"
            self.faults.report(", ".join(names), f"{have} {max(last_steps.values())} of an earlier run; {advice}")
