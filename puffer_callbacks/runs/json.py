"""JSON lines of PufferLib, Stable-Baselines3 and prime-rl; JSON of PufferLib 4 and of Transformers' trainers."""

import configparser
from itertools import zip_longest
from pathlib import Path
from typing import Any

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.rows import RowReader, parse_json, parse_setting, read_text, settings_of


def read_json_lines(path: Path) -> Contents:
    """A row a line; a line that is no JSON object becomes a problem.

    PufferLib leaves out numbers that are not finite, so a series that ends before the others may have met a NaN. Its
    configuration is read from the ``.ini`` beside it.

    Args:
        path: the file.
    """
    contents = Contents()
    reader = RowReader(contents)
    for number, line in enumerate(read_text(path, contents).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = parse_json(line)
        except ValueError as error:
            contents.problems.append(f"{path.name}: line {number} cannot be read: {error}")
            continue
        if isinstance(row, dict):
            reader.add(row)
        else:
            contents.problems.append(f"{path.name}: line {number} is no JSON object")
    _add_ini(contents, path.with_suffix(".ini"))
    return contents


def read_json(path: Path) -> Contents:
    """One JSON value: PufferLib 4's log, a Transformers ``trainer_state.json``, or a list of rows.

    Args:
        path: the file.

    Raises:
        ValueError: if the file is no JSON, or of none of these forms.
    """
    contents = Contents()
    try:
        log = parse_json(read_text(path, contents))
    except ValueError as error:
        raise ValueError(f"expected JSON in {path}, got a file that cannot be read as such: {error}") from error
    rows = rows_of(log)
    if rows is None:
        raise ValueError(f"expected 'metrics', 'log_history' or a list of rows in {path}; is it the log of a run?")
    reader = RowReader(contents)
    for row in rows:
        reader.add(row)
    if isinstance(log, dict):
        config = {name: value for name, value in log.items() if name not in ("metrics", "log_history")}
        contents.hyperparameters |= settings_of(config)
    return contents


def rows_of(log: Any) -> list[dict[str, Any]] | None:
    """The rows of a JSON log, ``None`` where it is none.

    Example:
        >>> rows_of({"metrics": {"agent_steps": [1, 2], "SPS": [10.0, 12.0]}})
        [{'agent_steps': 1, 'SPS': 10.0}, {'agent_steps': 2, 'SPS': 12.0}]
    """
    if isinstance(log, dict) and isinstance(log.get("metrics"), dict):
        columns = {tag: values if isinstance(values, list) else [values] for tag, values in log["metrics"].items()}
        return [dict(zip(columns, row, strict=True)) for row in zip_longest(*columns.values())]
    rows = log.get("log_history") if isinstance(log, dict) else log
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def _add_ini(contents: Contents, path: Path) -> None:
    if not path.is_file():
        return
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_text(path, contents))
    except configparser.Error as error:
        contents.problems.append(f"{path.name}: cannot be read: {' '.join(str(error).split())}")
        return
    for section in parser.sections():
        contents.hyperparameters |= {f"{section}/{name}": parse_setting(text) for name, text in parser.items(section)}
