"""Loggers without a writer of their own."""

from collections.abc import Mapping
from typing import Any

from puffer_callbacks.axes import Axes
from puffer_callbacks.faults import Faults
from puffer_callbacks.values import Hyperparameters, Value
from puffer_callbacks.writers.base import Writer


class FallbackWriter(Writer):
    """Feeds any Lightning logger its scalars and hyperparameters, and warns once about the rest.

    Args:
        logger: a Lightning logger: ``log_metrics``, ``log_hyperparams``.
    """

    def __init__(self, logger: Any) -> None:
        super().__init__(logger)
        self._faults = Faults()

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Log the scalars of the row in one call."""
        for tag, value in values.items():
            if isinstance(value, Hyperparameters):
                if value.status == "running":
                    self._call("log_hyperparams", dict(value.settings))
            elif not isinstance(value, float):
                self._warn(tag, value)
        scalars = {tag: value for tag, value in values.items() if isinstance(value, float)}
        if scalars:  # last: what fails before is tried again, and must not be logged twice
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
        kind, logger = type(value).__name__, type(self.logger).__name__
        hint = f"register a writer with @writer_for.register({logger}) to show them"
        self._faults.report(logger, f"takes scalars only, {kind} values such as {tag!r} are left out; {hint}")


class ValuesWriter(Writer):
    """Hands rows as they are to a logger that takes them: one with ``log_values(values, step)``."""

    immediate = True

    def write(self, values: Mapping[str, Value], axes: Axes) -> None:
        """Hand over the row."""
        self.logger.log_values(values, self.step(axes))
