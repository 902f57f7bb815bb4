"""Writers for loggers without a writer of their own."""

from collections.abc import Mapping

from puffer_callbacks.axes import Axes
from puffer_callbacks.values import Hyperparameters, Value
from puffer_callbacks.writers.base import Writer


class FallbackWriter(Writer):
    """Gives any Lightning logger the scalars and hyperparameters of a row, and warns once about other values.

    Args:
        logger: a Lightning logger, with ``log_metrics`` and, if it has them, ``log_hyperparams`` and ``save``.
    """

    immediate = True  # the logger may not be safe on another thread

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the scalars of the row in one call."""
        for tag, value in values.items():
            if isinstance(value, Hyperparameters):
                if value.status == "running":
                    self._call("log_hyperparams", dict(value.settings))
            elif not isinstance(value, float):
                self._warn(tag, value)
        scalars = {tag: value for tag, value in values.items() if isinstance(value, float)}
        if scalars:  # last, as a row that fails is written again, and these must not be logged twice
            self.logger.log_metrics(scalars, step=self.step(axes))

    def flush(self) -> None:
        """Ask the logger to save."""
        self._call("save")

    def _call(self, name: str, *args: object) -> None:
        """Call a method that Lightning's loggers have and others may lack."""
        method = getattr(self.logger, name, None)
        if callable(method):
            method(*args)

    def _warn(self, tag: str, value: Value) -> None:
        hint = f"register a writer with @writer_for.register({type(self.logger).__name__}) to show them"
        reason = f"{type(value).__name__} values such as {tag!r} are left out; {hint}"
        self.faults.defer(f"{self.name} takes scalars only", reason)


class ValuesWriter(Writer):
    """Gives whole rows to a logger that takes them: one with ``log_values(values, step)``."""

    immediate = True

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the row in one call."""
        self.logger.log_values(values, self.step(axes))
