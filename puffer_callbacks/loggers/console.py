"""``ConsoleLogger``: prints metrics, as lines or as a table."""

import math
import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Literal, TextIO

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from puffer_callbacks.loggers.lines import metric_lines
from puffer_callbacks.loggers.table import metric_table, progress_title
from puffer_callbacks.schedule import Every, check_counts
from puffer_callbacks.values import Alert, Hyperparameters, Text, Value
from puffer_callbacks.values.terminal import terminal_width

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters, which a terminal would execute instead of print."""


class ConsoleLogger(Logger):
    """A Lightning logger that prints to the console, as lines or as a table.

    As lines it prints one per ``train/`` metric and one per other group. As a table it prints one compact block,
    grouped and rounded, with progress and time left; a value with two tags is shown once.

    Args:
        prefix: the label in brackets at the start of each line.
        every_n_steps: the interval between prints, in the loggers' step. The latest value of each metric is kept
            in between, so every metric is printed.
        style: ``"lines"`` or ``"table"``.
        total_steps: the steps of the whole run, for the table's progress; by default ``total_timesteps`` of the
            hyperparameters, or ``max_steps`` of the trainer.
        stream: where to print; standard output by default. Characters that it cannot encode are escaped.

    Raises:
        ValueError: if the interval or ``total_steps`` is below 1, or ``style`` is another.

    Example:
        >>> logger = ConsoleLogger(every_n_steps=100)
        >>> logger.log_metrics({"train/reward": 21.34, "losses/policy": 0.01, "losses/value": 0.5}, step=100)
        [TRAIN] Step 100: train/reward = 21.3400
        [TRAIN] Step 100: losses { policy=0.0100, value=0.5000 }
    """

    def __init__(
        self,
        prefix: str = "TRAIN",
        *,
        every_n_steps: int = 100,
        style: Literal["lines", "table"] = "lines",
        total_steps: int | None = None,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__()
        if style not in ("lines", "table"):
            raise ValueError(f"ConsoleLogger: expected the style 'lines' or 'table', got {style!r}")
        if total_steps is not None:
            check_counts(total_steps=total_steps)
        self._prefix_text = prefix
        self._style = style
        self._total_steps = total_steps
        self._finds_total = total_steps is None
        self._total_of = ""  # the tag that ``_total_steps`` is the end of; the loggers' step by default
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
        late = self._step == self._printed_at and self._style == "lines"
        if self._every.fires(self._step) or late:
            self._print_pending()

    @rank_zero_only
    def log_values(self, values: Mapping[str, Value], step: int) -> None:
        """Print the scalars and texts of a row."""
        self.log_metrics({tag: value for tag, value in values.items() if isinstance(value, float)}, step)
        for tag, value in values.items():
            if isinstance(value, Text) and not isinstance(value, Alert):  # which its callback prints itself
                self._print_line(f"{tag}: {value.text}")
            elif isinstance(value, Hyperparameters):
                self._find_total(value.settings)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Read the number of steps from the hyperparameters, which are not printed."""
        self._find_total(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Print the metrics that are still pending."""
        self._print_pending()

    def _find_total(self, settings: Mapping[str, Any]) -> None:
        for name, tag in {"trainer/max_steps": "time/optimizer_steps", "total_timesteps": "time/env_steps"}.items():
            total = settings.get(name)
            if self._finds_total and isinstance(total, int | float) and 1 <= total < math.inf:  # as 1e6
                self._total_steps, self._total_of = int(total), tag

    def _print_pending(self) -> None:
        pending, self._pending = self._pending, {}
        self._printed_at = self._step
        if self._style == "lines":
            for line in metric_lines(pending):
                self._print_line(line)
        elif pending:
            done = int(pending.get(self._total_of, self._step))
            progress = progress_title(done, self._total_steps, elapsed=pending.get("time/elapsed"))
            for line in metric_table(pending, title=f"{self._prefix_text}: {progress}", width=terminal_width()):
                self._print(line)

    def _print_line(self, line: str) -> None:
        self._print(f"[{self._prefix_text}] Step {self._step}: {line}")

    def _print(self, line: str) -> None:
        stream = self._stream or sys.stdout
        encoding = getattr(stream, "encoding", None) or "utf-8"
        printable = _CONTROL.sub("\ufffd", line).encode(encoding, "backslashreplace").decode(encoding)
        print(printable, file=stream, flush=True)
