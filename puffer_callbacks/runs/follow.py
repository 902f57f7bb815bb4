"""The rows of a log that is still written: JSON lines, and Stable-Baselines3's CSV."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.csv import parse_cell
from puffer_callbacks.runs.discovery import find_runs
from puffer_callbacks.runs.rows import RowReader, as_float, flattened

Row = tuple[int, dict[str, float]]
"""A step, and tag to number."""
_FORMATS = ("csv", "json-lines")


class RowFollower:
    """Reads the rows that were appended since the last call.

    A line counts once it ends. A CSV whose header has grown, as Stable-Baselines3 rewrites its file for a new column,
    is read again from the start, without the rows that are known.

    Args:
        path: a ``.jsonl`` or ``.csv`` file, or the folder of one.

    Raises:
        FileNotFoundError: if there is no such path.
        ValueError: if it holds no such file, or several.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "run.jsonl"
        >>> _ = file.write_text('{"agent_steps": 64, "loss/entropy": 0.69}\\n{"agent_steps": 128, "loss/e')
        >>> follower = RowFollower(file)
        >>> list(follower.new_rows()), list(follower.new_rows())
        ([(64, {'agent_steps': 64.0, 'loss/entropy': 0.69})], [])
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FileNotFoundError(f"expected a log to follow, got {path}, which is not there")
        runs = [run for run in find_runs(path) if run.format in _FORMATS]
        if len(runs) != 1:
            given = "none" if not runs else f"{len(runs)}"
            raise ValueError(f"expected one file of JSON lines or CSV to follow at {path}, got {given}")
        self.path = runs[0].files[0]
        self._is_csv = runs[0].format == "csv"
        self.rows = 0
        """Rows read so far."""
        self._restart()

    def _restart(self) -> None:
        self._offset, self._known = 0, 0
        self._header: list[str] = []
        self._first_line = b""
        self._contents = Contents()
        self._reader = RowReader(self._contents)

    def new_rows(self) -> Iterator[Row]:
        """The rows that have come since the last call.

        Raises:
            ValueError: if the file has fewer rows than before.
        """
        with self.path.open("rb") as file:
            first_line = file.readline()
            if first_line != self._first_line or file.seek(0, 2) < self._offset:
                self._restart()
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield from self._parse(line)
            self._first_line = first_line
        if self._known < self.rows:
            raise ValueError(f"expected {self.path} to grow, but it has {self._known} rows after {self.rows}")

    def _parse(self, line: bytes) -> Iterator[Row]:
        values = self._values(line.decode("utf-8-sig", errors="replace").replace("\0", ""))
        if values is None:
            return
        step = self._reader.add(values)
        self._contents.scalars.clear()
        self._contents.text.clear()
        self._known += 1
        if self._known > self.rows:
            self.rows = self._known
            yield step, {tag: as_float(v) for tag, v in flattened(values) if _is_number(v)}

    def _values(self, text: str) -> Mapping[str, Any] | None:
        """The entries of a line; ``None`` for one that is no row."""
        if self._is_csv:
            cells = next(csv.reader([text]), [])
            if not self._header:
                self._header = cells
                return None
            pairs = zip(self._header, cells, strict=False)
            return {tag: parse_cell(cell) for tag, cell in pairs if cell} if len(cells) <= len(self._header) else None
        try:
            row = json.loads(text)
        except ValueError:
            return None
        return row if isinstance(row, dict) else None


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)
