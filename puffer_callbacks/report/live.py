"""A live view in a notebook: the curves of a run while it trains, updated in place."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from typing import Any

from puffer_callbacks.loggers.html import series_table
from puffer_callbacks.loggers.memory import MemoryLogger
from puffer_callbacks.values import Value
from puffer_callbacks.values.tags import as_names

_TAGS = (
    "train/reward",
    "train/episode_length",
    "train/entropy",
    "train/*loss",
    "diagnostics/*",
    "gradient_norm/total",
    "throughput/sps",
)


class LiveLogger(MemoryLogger):
    """A ``MemoryLogger`` that shows itself below the cell that makes it, and follows the run.

    Outside a notebook it only keeps the values.

    Args:
        tags: which scalars, in this order; patterns such as ``train/*`` are understood.
        every_seconds: how often the view is updated at most.

    Raises:
        ValueError: if ``every_seconds`` is negative.

    Example:
        ``Trainer(logger=LiveLogger(), callbacks=default_callbacks()).fit(module)``
    """

    def __init__(self, tags: str | Sequence[str] = _TAGS, *, every_seconds: float = 1.0) -> None:
        super().__init__()
        if every_seconds < 0:
            raise ValueError(f"LiveLogger: expected every_seconds of at least 0, got {every_seconds}")
        self._patterns = as_names(tags)
        self._every_seconds = every_seconds
        self._updated = -float("inf")
        self._handle = _new_display(self)

    def log_values(self, values: Mapping[str, Value], step: int) -> None:
        """Keep a row of values of any kind, and show it."""
        super().log_values(values, step)
        self._update()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Keep scalars, and show them."""
        super().log_metrics(metrics, step)
        self._update()

    def finalize(self, status: str) -> None:
        """Show the end of the run."""
        self._update(at_once=True)

    def _update(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._handle is not None and (at_once or now - self._updated >= self._every_seconds):
            self._updated = now
            self._handle.update(self)

    def _repr_html_(self) -> str:
        """What the notebook shows."""
        scalars = self.scalars
        shown = {tag: scalars[tag] for pattern in self._patterns for tag in scalars if fnmatch(tag, pattern)}
        if not shown:
            return "<p>The curves appear with the first values.</p>"
        last = max(points[-1][0] for points in scalars.values())
        return series_table(shown, caption=f"step {last:,}")


def _new_display(view: LiveLogger) -> Any:
    """The place below the present cell, or ``None`` outside a notebook."""
    try:
        from IPython import display, get_ipython  # noqa: PLC0415  # there in every notebook
    except ImportError:
        return None
    if get_ipython() is None:
        return None
    return display.display(view, display_id=True)  # type: ignore[no-untyped-call]
