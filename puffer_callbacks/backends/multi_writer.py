"""All backends of a run, each kept from harming the run and the others."""

from collections.abc import Iterable, Mapping
from typing import Any

from puffer_callbacks.axes import Axes, XAxis
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.logger_calls import restore_calls, route_calls
from puffer_callbacks.faults import Faults, format_error
from puffer_callbacks.values import Value
from puffer_callbacks.writers import writer_for


class Backends:
    """Feeds one row to every backend; one that fails is reported once, tried again, and summed up at the end.

    Args:
        loggers: the run's Lightning loggers; Lightning's ``DummyLogger`` (``fast_dev_run``) is passed over.
        faults: where a failing backend is reported.
    """

    def __init__(self, loggers: Iterable[Any], faults: Faults) -> None:
        self.faults = faults
        self._channels: list[AsyncWriter] = []
        self._unopened: list[str] = []
        self._states: list[dict[str, Any]] = []
        for logger in loggers:
            if type(logger).__name__ != "DummyLogger":
                self._open(logger)

    def __bool__(self) -> bool:
        return bool(self._channels)

    @property
    def busy(self) -> float:
        """CPU seconds that the backends' threads have spent: what they can have taken from the run at most."""
        return sum(channel.busy for channel in self._channels)

    def open(self, x_axis: XAxis, *, first_step: int, resume_after: int | None = None) -> None:
        """Set the x axis of every writer, and what earlier rows in its place mean.

        Args:
            x_axis: the axis.
            first_step: where the run begins on it.
            resume_after: the checkpoint's last row, if the run is resumed: what lies beyond is dropped.
        """
        states = list(self._states)
        for channel in self._channels:
            channel.writer.x_axis = x_axis
            if resume_after is None:
                channel.begin(first_step)
            else:
                channel.resume(resume_after, _take(states, channel.name))
        self._tell()

    def set_x_axis(self, x_axis: XAxis) -> None:
        """Change the axis of the rows to come."""
        for channel in self._channels:
            channel.writer.x_axis = x_axis

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row to every backend."""
        for channel in self._channels:
            channel.write(values, axes)
        self._tell()

    def flush(self) -> None:
        """Flush every backend, unless it is known to be behind."""
        flushed = [channel.flush() for channel in self._channels]
        for channel, done in zip(self._channels, flushed, strict=True):
            channel.hurry(done)
        self._tell()

    def state_dict(self) -> list[dict[str, Any]]:
        """What a checkpoint keeps for each backend."""
        return [channel.state_dict() for channel in self._channels]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Take up what a checkpoint kept, for ``open`` to hand out."""
        self._states = list(state)

    def close(self) -> None:
        """Close every writer, and say what was lost; the loggers stay open for whoever made them."""
        finished = [channel.finish() for channel in self._channels]
        for channel, done in zip(self._channels, finished, strict=True):
            channel.close(done)
        self._tell()
        if self.faults.strict:  # which has raised already
            return
        for channel in self._channels:
            if channel.faulty:
                self.faults.report(f"{channel.name}, in all", _summary(channel))
        for name in self._unopened:
            self.faults.report(f"{name}, in all", "no row of this run could be recorded")

    def _open(self, logger: Any) -> None:
        restore_calls(logger)
        try:
            writer = writer_for(logger)
            if not writer.immediate:
                getattr(logger, "experiment", None)  # opened here: two threads must not both open it
        except Exception as error:
            self._unopened.append(type(logger).__name__)
            self._report(type(logger).__name__, error)
        else:
            channel = AsyncWriter(writer, in_step=self.faults.strict)
            self._channels.append(channel)
            route_calls(logger, channel, self._tell)

    def _tell(self) -> None:
        for channel in self._channels:
            for error in channel.take_faults():
                self._report(channel.name, error)

    def _report(self, name: str, error: BaseException) -> None:
        reason = f"could not record ({format_error(error)}); training and the other loggers go on"
        self.faults.report(name, reason, error if isinstance(error, Exception) else RuntimeError(format_error(error)))


def _take(states: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The first state of a logger of this kind, which is no other's then."""
    at = next((at for at, state in enumerate(states) if state.get("name") == name), None)
    return None if at is None else states.pop(at)


def _summary(channel: AsyncWriter) -> str:
    if not channel.lost:
        return f"all {channel.rows} rows of this run were recorded all the same"
    return f"{channel.lost} of {channel.rows} rows of this run could not be recorded whole"
