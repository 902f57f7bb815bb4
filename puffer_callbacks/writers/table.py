"""A CSV file that grows by rows and, cheaply, by columns."""

import csv
import io
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Writes what YAML has no word for as its name in Python."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(_named(value)))


def _named(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"


def _line(tag: str) -> str:
    """A column's name on one line: the header is replaced as a line."""
    return " ".join(tag.splitlines())


class Table:
    """``metrics.csv`` of a run, in the place of the table that Lightning's ``CSVLogger`` keeps.

    Rows are appended. A new column goes to the end of the header, so the rows before it stay as they are, only
    shorter, and only the header line is replaced: no row is parsed. What stands in the file is never lost: a
    resumed run goes on appending, and a replaced file appears whole or not at all.

    Args:
        folder: where ``metrics.csv`` and ``hparams.yaml`` stand.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> table = Table(folder)
        >>> table.log_metrics({"train/loss": 0.5}, 10)
        >>> (folder / "metrics.csv").read_text().split()
        ['step,train/loss', '10,0.5']
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "metrics.csv"
        self._kept = folder / ".metrics.csv"
        self._rows: list[Mapping[str, Any]] = []
        self._lock = Lock()  # the module's own self.log comes from another thread
        self._columns = self._read_header()

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append a row; tensors become numbers."""
        row = {_line(tag): value.item() if hasattr(value, "item") else value for tag, value in metrics.items()}
        with self._lock:
            self._rows.append({"step": step} | row | {"step": step})
            self._save()

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write ``hparams.yaml``."""
        self._folder.mkdir(parents=True, exist_ok=True)
        written = yaml.dump(dict(params), Dumper=_Dumper, allow_unicode=True)
        self._replace(self._folder / "hparams.yaml", written.encode())

    def save(self) -> None:
        """Append the rows that could not be appended before."""
        with self._lock:
            self._save()

    def resume(self, last_step: int) -> None:
        """Keep the rows up to ``last_step``; drop the later ones, and a last line that a crash cut short."""
        if not self._columns and self._kept.is_file():
            os.link(self._kept, self._path)
            self._columns = self._read_header()
        if not self._columns:
            return
        with self._path.open(newline="") as file:
            content = file.read()
        rows = list(csv.reader(io.StringIO(content[: content.rfind("\n") + 1])))
        at = self._columns.index("step")
        kept = [row for row in rows[1:] if len(row) > at and row[at] and int(row[at]) <= last_step]
        lines = io.StringIO(newline="")
        csv.writer(lines, lineterminator="\n").writerows([self._columns, *kept])
        self._replace_rows(lines.getvalue().encode())

    def _save(self) -> None:
        if not self._rows:
            return
        self._add_columns()
        lines = io.StringIO(newline="")
        writer = csv.DictWriter(lines, self._columns, lineterminator="\n")
        writer.writerows(self._rows)
        with self._path.open("ab") as file:
            file.write(lines.getvalue().encode())
        self._rows = []

    def _add_columns(self) -> None:
        known = set(self._columns)
        new = dict.fromkeys(tag for row in self._rows for tag in row if tag not in known)
        if not new:
            return
        rows = b""
        if self._columns:
            rows = self._path.read_bytes().partition(b"\n")[2]
        self._columns += new
        header = io.StringIO(newline="")
        csv.writer(header, lineterminator="\n").writerow(self._columns)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._replace_rows(header.getvalue().encode() + rows)

    def _read_header(self) -> list[str]:
        if not self._path.is_file():
            return []
        with self._path.open(newline="") as file:
            return next(csv.reader(file), [])

    def _replace_rows(self, content: bytes) -> None:
        """Lightning removes ``metrics.csv`` before a resumed run begins; a second name keeps the rows."""
        self._replace(self._path, content)
        self._kept.unlink(missing_ok=True)
        with suppress(OSError):  # a file system without links
            os.link(self._path, self._kept)

    @staticmethod
    def _replace(path: Path, content: bytes) -> None:
        fresh = path.with_suffix(".tmp")
        fresh.write_bytes(content)
        os.replace(fresh, path)
