"""A run that is followed: its rows judged and written on."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from puffer_callbacks.axes import Axes
from puffer_callbacks.faults import Faults
from puffer_callbacks.health.finding import Severity
from puffer_callbacks.health.monitor import Monitor
from puffer_callbacks.health.panel import panel
from puffer_callbacks.health.tracker import Change
from puffer_callbacks.runs.aliases import Source
from puffer_callbacks.runs.follow import Row
from puffer_callbacks.runs.sources import UNKNOWN, source_of
from puffer_callbacks.values import Alert, Value


class WatchedRun:
    """Writes rows to loggers, judges them, and remembers in a file how far it has come.

    Args:
        monitor: the rules and what they know of the run.
        loggers: Lightning loggers to write to.
        state_file: where to keep the state; without one it begins anew each time.

    Raises:
        ValueError: if the state cannot be read.

    Example:
        >>> from puffer_callbacks import MemoryLogger
        >>> run = WatchedRun(Monitor(), [logger := MemoryLogger()])
        >>> run.add([(64, {"agent_steps": 64.0, "loss/entropy": 0.69})])
        []
        >>> logger.series("loss/entropy")
        [(64, 0.69)]
    """

    def __init__(self, monitor: Monitor, loggers: Iterable[Any] = (), *, state_file: Path | None = None) -> None:
        from puffer_callbacks.backends.default_writer import default_writer  # noqa: PLC0415  # Lightning takes seconds

        self._monitor, self._state_file = monitor, state_file
        self._writer = default_writer(loggers, Faults())
        self._writer.x_axis = "env_steps"
        self._names = _Names()
        self._rows, self._last_step, self._written = 0, 0, 0
        self._first: str | None = None
        state = _read_state(state_file)
        if state is None:
            self._writer.begin(0)
        else:
            self._written, self._last_step, self._first = state["rows"], state["last_step"], state.get("first")
            monitor.load_troubles(state["troubles"])
            self._writer.resume(self._last_step)

    def add(self, rows: Iterable[Row]) -> list[Change]:
        """Add rows in their order; those of before a restart are judged, and not written again.

        Returns:
            The troubles that begin or end with them.

        Raises:
            ValueError: if the state is that of another run, by its first row.
        """
        added = False
        for step, values in rows:
            added = True
            self._rows += 1
            if self._rows == 1:
                self._check_first(json.dumps([step, values]))
            self._monitor.log_values(self._names.translate(values), step)
            if self._rows > self._written:
                self._write(values, step)
        if not added or self._rows < self._written:
            return []
        changes = self._monitor.judge()
        self._write({**self._monitor.scalars(), **dict(map(_alert, changes))}, self._last_step)
        self._save()
        return changes

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()

    def _check_first(self, row: str) -> None:
        if self._first not in (None, row):
            raise ValueError(f"expected the run of {self._state_file}, got another; give it a --log-dir of its own")
        self._first = row

    def _write(self, values: Mapping[str, Value], step: int) -> None:
        self._last_step = max(self._last_step, step)
        self._writer.write(values, Axes(step, step, time.time()))

    def _save(self) -> None:
        """Keep how far it has come, once that is on disk: a crash in between writes some rows again, and loses none."""
        self._writer.flush()
        if self._state_file is None:
            return
        self._written = max(self._written, self._rows)
        state = {
            "rows": self._rows,
            "last_step": self._last_step,
            "first": self._first,
            "troubles": self._monitor.troubles(),
        }
        unfinished = self._state_file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(state), "utf-8")
        unfinished.replace(self._state_file)


def _read_state(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.exists():
        return None
    try:
        state: dict[str, Any] = json.loads(path.read_text("utf-8"))
        _ = state["rows"], state["last_step"], state["troubles"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"expected what watch wrote in {path}, got a damaged file; remove it to begin anew") from error
    return state


class _Names:
    """Translates rows of a library to our tags, whichever library it turns out to be."""

    def __init__(self) -> None:
        self._source: Source = UNKNOWN
        self._tags: set[str] = set()

    def translate(self, values: Mapping[str, float]) -> dict[str, float]:
        if not values.keys() <= self._tags:
            self._tags |= values.keys()
            self._source = source_of(self._tags)
        series = {tag: (np.zeros(1, np.int64), np.array([value])) for tag, value in values.items()}
        return {tag: float(numbers[0]) for tag, (_, numbers) in self._source.translate(series).items()}


def _alert(change: Change) -> tuple[str, Alert]:
    finding, ended = change.finding, change.kind == "ends"
    severity: Severity = "info" if ended else finding.severity
    title = f"{finding.rule} {change.kind} at step {finding.first_step}"
    return f"health/{finding.rule}/finding", Alert(panel(finding, ended=ended), title=title, severity=severity)
