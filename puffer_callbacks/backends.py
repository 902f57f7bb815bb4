"""All backends of a run, each kept from harming the run and the others."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.channel import Channel
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Value
from puffer_callbacks.writers import XAxis, writer_for

_LIGHTNING_CALLS = ("save", "finalize")


class Backends:
    """Feeds one row to every backend; one that fails is reported once, tried again, and summed up at the end.

    Args:
        loggers: the run's Lightning loggers; Lightning's ``DummyLogger`` (``fast_dev_run``) is passed over.
        faults: where a failing backend is reported.
    """

    def __init__(self, loggers: Iterable[Any], faults: Faults) -> None:
        self.faults = faults
        self._channels: list[Channel] = []
        for logger in loggers:
            if type(logger).__name__ == "DummyLogger":
                continue
            try:
                writer = writer_for(logger)
                if not writer.immediate:
                    getattr(logger, "experiment", None)  # opened here: two threads must not both open it
                self._channels.append(Channel(writer, in_step=faults.strict))
                self._shield(logger)
            except Exception as error:
                self._report(type(logger).__name__, error)

    def __bool__(self) -> bool:
        return bool(self._channels)

    @property
    def busy(self) -> float:
        """CPU seconds that the backends' threads have spent: what they can have taken from the run at most."""
        return sum(channel.busy for channel in self._channels)

    def open(self, x_axis: XAxis, *, resume_after: int | None = None) -> None:
        """Set the x axis of every writer; after a resume, drop what lies beyond the checkpoint's last row."""
        for channel in self._channels:
            channel.writer.x_axis = x_axis
        if resume_after is not None:
            self._each(lambda channel: channel.resume(resume_after))

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Write the row to every backend."""
        self._each(lambda channel: channel.write(values, axes))

    def flush(self) -> None:
        """Flush every backend."""
        self._each(Channel.flush)

    def state_dict(self) -> list[dict[str, Any]]:
        """What each writer wants a checkpoint to keep, after all rows are flushed."""
        self.flush()
        return [channel.writer.state_dict() for channel in self._channels]

    def load_state_dict(self, state: list[dict[str, Any]]) -> None:
        """Give each writer what it kept, where the loggers are the same."""
        if len(state) == len(self._channels):
            for channel, kept in zip(self._channels, state, strict=True):
                if kept:
                    channel.do(partial(channel.writer.load_state_dict, kept))

    def close(self) -> None:
        """Close every writer, and say what was lost; the loggers stay open for whoever made them."""
        self._each(Channel.close)
        for channel in self._channels:
            if channel.lost:
                rows = "row" if channel.lost == 1 else "rows"
                self.faults.report(f"{channel.name}, in all", f"{channel.lost} {rows} of this run could not be recorded whole")

    def _each(self, action: Callable[[Channel], None]) -> None:
        for channel in self._channels:
            action(channel)
            if channel.faults:
                faults, channel.faults = channel.faults, []
                for error in faults:
                    self._report(channel.name, error)

    def _report(self, name: str, error: Exception) -> None:
        reason = f"could not record ({type(error).__name__}: {error}); training and the other loggers go on"
        self.faults.report(name, reason, error)

    def _shield(self, logger: Any) -> None:
        """Contain what Lightning itself calls on a logger: a full disk must not end the run at ``finalize``."""
        for name in _LIGHTNING_CALLS:
            call = getattr(logger, name, None)
            if callable(call) and not hasattr(call, "__wrapped__"):
                setattr(logger, name, self._contained(call, type(logger).__name__))

    def _contained(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(call)
        def contained(*args: Any, **kwargs: Any) -> Any:
            try:
                return call(*args, **kwargs)
            except Exception as error:
                self._report(name, error)
                return None

        return contained
