"""Rows of named values, as CSV, JSON and W&B have them: which name is the step, which the time, and what is a point."""

import codecs
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import compress, repeat
from pathlib import Path
from typing import Any

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.values import Setting
from puffer_callbacks.values.scalars import as_float

STEP_NAMES = (
    *("agent_steps", "step", "global_step", "time/total_timesteps", "total_timesteps"),
    *("trainer/global_step", "train/global_step", "_step"),
)
"""Names of the column that counts steps, in order of preference."""
_TIME_NAMES = ("_timestamp", "wall_time", "timestamp", "time")
_NOT_SERIES = {"step", "_step", "_timestamp", "_runtime", "wall_time"}
_EARLIEST = 1e8
"""Seconds since the epoch are more than this; what is less counts from the start of the run."""

_NUMBER = (float, int)
"""Not ``float | int``, which would be made anew at each of millions of values."""

_MOST_STEPS = 2**63
"""What an int64 holds; a larger number is no step."""


class RowReader:
    """Adds rows to the contents of a run.

    A row's step is the value of the run's step column. A row without it gets the step of the row before, and in a run
    without a step column each row gets its index.

    Args:
        contents: what to add to.
        step_name: a column that counts steps before all of ``STEP_NAMES``.

    Example:
        >>> contents = Contents()
        >>> RowReader(contents).add({"step": 10, "loss": 0.5, "note": "warm"})
        10
        >>> contents.scalars["loss"].steps[0], contents.text
        (10, {'note': [(10, 'warm')]})
    """

    def __init__(self, contents: Contents, step_name: str | None = None) -> None:
        self._contents = contents
        self._column = cache(contents.column)
        self._names: tuple[str, ...] = STEP_NAMES if step_name is None else (step_name, *STEP_NAMES)
        self._rows = 0
        self._step: int | None = None

    def add(self, row: Mapping[str, Any]) -> int:
        """Add a row: numbers as scalars, strings as text, nested mappings by their joined names. Returns its step."""
        values = flattened(row)
        step, wall_time = self.place(values)
        for tag, value in values.items():
            if tag in _NOT_SERIES:
                continue
            if isinstance(value, _NUMBER):
                self._column(tag).add(step, as_float(value), wall_time)
            elif isinstance(value, str):
                self._contents.text.setdefault(tag, []).append((step, value))
        return step

    def add_columns(self, columns: Mapping[str, Sequence[Any]], rows: int) -> None:
        """Add rows of a table column by column, without a call of Python for each value.

        Args:
            columns: name to the entries of all rows: floats, strings, and ``None`` where a row has none.
            rows: how many these are, at least 1.
        """
        steps, wall_times = self._place_all(columns, rows)
        for tag, values in columns.items():
            kinds = set(map(type, values)) if tag not in _NOT_SERIES else set()
            if float in kinds:
                is_number = [isinstance(value, float) for value in values]
                self._column(tag).extend(*(compress(each, is_number) for each in (steps, values, wall_times)))
            if str in kinds:
                texts = self._contents.text.setdefault(tag, [])
                texts += [(step, value) for step, value in zip(steps, values, strict=True) if isinstance(value, str)]

    def _place_all(self, columns: Mapping[str, Sequence[Any]], rows: int) -> tuple[list[int], list[float]]:
        """The steps and the wall times of the rows of a table."""
        axes = [name for name in (*self._names, *_TIME_NAMES) if name in columns]
        if len(axes) == 1 and axes[0] in self._names:  # as nearly always
            steps = [int(step) for step in columns[axes[0]] if isinstance(step, float) and abs(step) < _MOST_STEPS]
            if len(steps) == rows:
                self._rows, self._step = self._rows + rows, steps[-1]
                self._names = self._names[: self._names.index(axes[0]) + 1]  # as ``place`` does
                return steps, [math.nan] * rows
        entries = zip(*(columns[name] for name in axes), strict=True) if axes else repeat((), rows)
        placed = [self.place(dict(zip(axes, row, strict=True))) for row in entries]
        return [step for step, _ in placed], [wall_time for _, wall_time in placed]

    def place(self, values: Mapping[str, Any]) -> tuple[int, float]:
        """The step of the next row, and its time in seconds since the epoch, NaN where it has none.

        Args:
            values: the row, flat.
        """
        for place, name in enumerate(self._names):
            if name in values and (step := _finite(values[name])) is not None and abs(step) < _MOST_STEPS:
                self._step, self._names = int(step), self._names[: place + 1]
                break
        times = [_finite(values[name]) for name in _TIME_NAMES if name in values]
        wall_time = next((time for time in times if time is not None and time > _EARLIEST), math.nan)
        self._rows += 1
        return (self._rows - 1 if self._step is None else self._step), wall_time


def flattened(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The entries of a nested mapping, names joined by ``/``; a flat one is returned as it is.

    Example:
        >>> flattened({"loss": {"policy": 0.5}})
        {'loss/policy': 0.5}
    """
    return dict(_entries(row)) if dict in map(type, row.values()) else row


def _entries(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _entries(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def read_text(path: Path, contents: Contents) -> str:
    """The text of a file in UTF-8, or in UTF-16 as spreadsheets and PowerShell write it.

    Bytes that are not of that encoding become replacement characters, and a problem.
    """
    data = path.read_bytes()
    is_wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = data.decode("utf-16" if is_wide else "utf-8-sig", errors="replace")
    if "\ufffd" in text and b"\xef\xbf\xbd" not in data:
        contents.problems.append(f"{path.name}: some bytes are not UTF-{16 if is_wide else 8}; they were replaced")
    return text


def parse_json(text: str | bytes) -> Any:
    """The value that JSON stands for.

    Raises:
        ValueError: if it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def settings_of(config: Mapping[str, Any]) -> dict[str, Setting]:
    """The hyperparameters in a nested mapping: lists as their text, without those that are ``None``.

    Example:
        >>> settings_of({"ppo": {"gamma": 0.99, "target_kl": None}, "hidden": [64, 64]})
        {'ppo/gamma': 0.99, 'hidden': '[64, 64]'}
    """
    values = {name: value for name, value in flattened(config).items() if value is not None}
    return {name: value if isinstance(value, float | int | str) else str(value) for name, value in values.items()}


def parse_setting(text: str) -> Setting:
    """Parse a number or boolean; any other text is returned as it is.

    Example:
        >>> [parse_setting(text) for text in ("3e-4", "64", "true", "adam", "2026_11_28")]
        [0.0003, 64, True, 'adam', '2026_11_28']
    """
    if "_" in text:  # Python reads 1_000 as a number; here it is part of a name
        return text
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _finite(value: object) -> float | None:
    if not isinstance(value, _NUMBER) or isinstance(value, bool):
        return None
    return value if math.isfinite(as_float(value)) else None
