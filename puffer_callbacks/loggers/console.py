"""Console logger."""

import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, TextIO

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Text, Value

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which a terminal would execute instead of print."""


class ConsoleLogger(Logger):
    """A Lightning logger that prints one line per ``train/`` metric and one line per other group.

    Args:
        prefix: the label in brackets at the start of each line.
        every_n_steps: the interval between prints, in the loggers' step. The latest value of each metric is kept
            in between, so every metric is printed.
        stream: where to print; standard output by default.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> logger = ConsoleLogger(every_n_steps=100)
        >>> logger.log_metrics({"train/reward": 21.34, "losses/policy": 0.01, "losses/value": 0.5}, step=100)
        [TRAIN] Step 100: train/reward = 21.3400
        [TRAIN] Step 100: losses { policy=0.0100, value=0.5000 }
    """

    def __init__(self, prefix: str = "TRAIN", *, every_n_steps: int = 100, stream: TextIO | None = None) -> None:
        super().__init__()
        self._prefix_text = prefix
        self._every = Every(every_n_steps)
        self._stream = stream
        self._pending: dict[str, float] = {}
        self._printed_at: int | None = None
        self._step = 0

    @property
    def name(self) -> str:
        """The logger's name."""
        return "console"

    @property
    def version(self) -> str:
        """The version, always ``"0"``."""
        return "0"

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Print the metrics if the step crossed the interval; otherwise keep them for the next print."""
        self._step = self._step if step is None else step
        self._pending.update({tag: float(value) for tag, value in metrics.items()})
        if self._every.fires(self._step) or self._step == self._printed_at:
            self._print_pending()

    @rank_zero_only
    def log_values(self, values: Mapping[str, Value], step: int) -> None:
        """Print the scalars and texts of a row."""
        self.log_metrics({tag: value for tag, value in values.items() if isinstance(value, float)}, step)
        for tag, value in values.items():
            if isinstance(value, Text):
                self._print(f"{tag}: {value.text}")

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Ignore hyperparameters; they are not printed."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Print the metrics that are still pending."""
        self._print_pending()

    def _print_pending(self) -> None:
        pending, self._pending = self._pending, {}
        self._printed_at = self._step
        groups: dict[str, dict[str, float]] = {}
        for tag, value in pending.items():
            group, _, name = tag.partition("/")
            if name and group != "train":
                groups.setdefault(group, {})[name] = value
            else:
                self._print(f"{tag} = {_number(value)}")
        for group, values in groups.items():
            listed = ", ".join(f"{name}={_number(value)}" for name, value in values.items())
            self._print(f"{group} {{ {listed} }}")

    def _print(self, line: str) -> None:
        stream = self._stream or sys.stdout
        line = _CONTROL.sub("\ufffd", line)
        line = f"[{self._prefix_text}] Step {self._step}: {line}"
        encoding = getattr(stream, "encoding", None) or "utf-8"  # a terminal may know ASCII only
        print(line.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def _number(value: float) -> str:
    """The number with four decimals, or in exponent notation where they would be meaningless."""
    if (value != 0 and abs(value) < 0.001) or abs(value) >= 1e12:
        return f"{value:.4e}"
    return f"{value:.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.4f}"
