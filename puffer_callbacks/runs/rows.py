"""Rows of named values, as CSV, JSON and W&B have them: which name is the step, which the time, and what is a point."""

import json
import math
from collections.abc import Iterator, Mapping
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
        self._names: tuple[str, ...] = STEP_NAMES if step_name is None else (step_name, *STEP_NAMES)
        self._rows = 0
        self._step: int | None = None

    def add(self, row: Mapping[str, Any]) -> int:
        """Add a row: numbers as scalars, strings as text, nested mappings by their joined names. Returns its step."""
        values = dict(flattened(row))
        step, wall_time = self.place(values)
        for tag, value in values.items():
            if tag in _NOT_SERIES:
                continue
            if isinstance(value, float | int):
                self._contents.column(tag).add(step, as_float(value), wall_time)
            elif isinstance(value, str):
                self._contents.text.setdefault(tag, []).append((step, value))
        return step

    def place(self, values: Mapping[str, Any]) -> tuple[int, float]:
        """The step of the next row, and its time in seconds since the epoch, NaN where it has none.

        Args:
            values: the row, flat.
        """
        for place, name in enumerate(self._names):
            step = _finite(values.get(name))
            if step is not None and abs(step) < _MOST_STEPS:
                self._step, self._names = int(step), self._names[: place + 1]
                break
        times = (_finite(values.get(name)) for name in _TIME_NAMES)
        wall_time = next((time for time in times if time is not None and time > _EARLIEST), math.nan)
        self._rows += 1
        return (self._rows - 1 if self._step is None else self._step), wall_time


def flattened(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The entries of a nested mapping, names joined by ``/``.

    Example:
        >>> dict(flattened({"loss": {"policy": 0.5}}))
        {'loss/policy': 0.5}
    """
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def read_text(path: Path, contents: Contents) -> str:
    """The text of a file; bytes that are not UTF-8 become replacement characters, and a problem."""
    data = path.read_bytes()
    text = data.decode("utf-8-sig", errors="replace")
    if "\ufffd" in text and b"\xef\xbf\xbd" not in data:
        contents.problems.append(f"{path.name}: some bytes are not UTF-8; they were replaced")
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
    values = {name: value for name, value in flattened(config) if value is not None}
    return {name: value if isinstance(value, float | int | str) else str(value) for name, value in values.items()}


def parse_setting(text: str) -> Setting:
    """Parse a number or boolean; any other text is returned as it is.

    Example:
        >>> [parse_setting(text) for text in ("3e-4", "64", "true", "adam")]
        [0.0003, 64, True, 'adam']
    """
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _finite(value: object) -> float | None:
    return value if isinstance(value, float | int) and not isinstance(value, bool) and math.isfinite(value) else None
