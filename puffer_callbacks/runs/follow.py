"""The rows of a log that is still written: JSON lines, and Stable-Baselines3's CSV."""

import csv
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.csv import cells_of_any_length, dialect_of, names_of
from puffer_callbacks.runs.discovery import find_runs
from puffer_callbacks.runs.rows import RowReader, flattened, parse_json
from puffer_callbacks.values.scalars import as_float

Row = tuple[int, dict[str, float]]
"""A step, and tag to number."""
_FORMATS = ("csv", "json-lines")


class RowFollower:
    """Reads the rows that were appended since the last call.

    A line counts once it ends. A CSV whose header has grown, as Stable-Baselines3 and Lightning rewrite their files
    for a new column, is read again from the start, without the rows that are known.

    Args:
        path: a ``.jsonl`` or ``.csv`` file, or the folder of one.
        patience: seconds for which the file may be away, or shorter than before, as while it is rewritten.

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

    def __init__(self, path: Path, *, patience: float = 10.0) -> None:
        if not path.exists():
            raise FileNotFoundError(f"expected a log to follow, got {path}, which is not there")
        runs = find_runs(path, formats=_FORMATS)
        if len(runs) != 1:
            given = f"{len(runs)}" if runs else "none; event files and W&B files cannot be followed"
            raise ValueError(f"expected one file of JSON lines or CSV to follow at {path}, got {given}")
        self.path = runs[0].files[0]
        self._is_csv = runs[0].format == "csv"
        self._patience, self._grew_at = patience, time.monotonic()
        self._first: Row | None = None
        self.rows = 0
        """Rows read so far."""
        self._restart()

    def _restart(self) -> None:
        self._offset, self._known = 0, 0
        self._header: list[str] = []
        self._beginning = b""
        self._reader = RowReader(Contents())

    def new_rows(self) -> Iterator[Row]:
        """The rows that have come since the last call.

        Raises:
            ValueError: if the file was begun anew, is gone, or stays shorter than it was.
        """
        try:
            yield from self._appended()
        except FileNotFoundError:
            self._known = -1
        if self._known >= self.rows:
            self._grew_at = time.monotonic()
        elif time.monotonic() - self._grew_at >= self._patience:
            given = "is gone" if self._known < 0 else f"has {self._known} rows after {self.rows}"
            raise ValueError(f"expected {self.path} to grow, but it {given}")

    def _appended(self) -> Iterator[Row]:
        with self.path.open("rb") as file:
            beginning = file.readline() + file.readline()
            if beginning != self._beginning or file.seek(0, 2) < self._offset:
                self._restart()
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                yield from self._parse(line)
            self._beginning = beginning

    def _parse(self, line: bytes) -> Iterator[Row]:
        values = self._values(line.decode("utf-8-sig", errors="replace").replace("\0", ""))
        if values is None:
            return
        flat = flattened(values)
        step, _ = self._reader.place(flat)
        self._known += 1
        row = step, {tag: as_float(value) for tag, value in flat.items() if _is_number(value)}
        if self._known == 1:
            self._check_first(row)
        if self._known > self.rows:
            self.rows = self._known
            yield row

    def _check_first(self, row: Row) -> None:
        if self._first is not None and repr(row) != repr(self._first):  # as NaN is not equal to itself
            raise ValueError(f"expected {self.path} to grow, but another run was begun in it; watch that one anew")
        self._first = row

    def _values(self, text: str) -> Mapping[str, Any] | None:
        """The entries of a line; ``None`` for one that is no row."""
        try:
            row = self._cells(text) if self._is_csv else parse_json(text)
        except (ValueError, csv.Error):
            return None
        return row if isinstance(row, dict) else None

    def _cells(self, text: str) -> dict[str, float | str] | None:
        """The cells of a line of CSV by their names; the first line has the names."""
        if not self._header:
            self._delimiter, self._parse_cell = dialect_of(text)
        with cells_of_any_length():
            cells = next(csv.reader([text], delimiter=self._delimiter), [])
        if not self._header:
            self._header = names_of(cells)
            return None
        if len(cells) > len(self._header):
            return None
        return {tag: self._parse_cell(cell) for tag, cell in zip(self._header, cells, strict=False) if tag and cell}


def _is_number(value: object) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)
