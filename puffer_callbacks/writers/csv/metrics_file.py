"""A CSV file that grows by rows and, cheaply, by columns."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

import yaml

_LONGEST = 100_000
"""Characters of a cell: ``csv.field_size_limit()`` is 131,072."""


class _Dumper(yaml.SafeDumper):
    """Writes what YAML has no word for as its name in Python."""


_Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(_named(value)))


class Table:
    """``metrics.csv`` of a run, in the place of the table that Lightning's ``CSVLogger`` keeps.

    Rows are appended, whole or not at all. A new column goes to the end of the header, so the rows before it
    stay as they are, only shorter, and only the header line is replaced: no row is parsed. What stands in the
    file is never lost: a resumed run goes on appending, and a replaced file appears whole or not at all.

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

    metrics: tuple[()] = ()
    """Rows that wait to be saved: none. Lightning's ``CSVLogger`` counts them where it is given no step."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "metrics.csv"
        self._kept = folder / ".metrics.csv"
        self._lock = Lock()
        self._columns: list[str] = []
        self.reopen()

    @property
    def size(self) -> int:
        """Bytes of the rows, without the header."""
        return self._path.stat().st_size - len(_lines([self._columns])) if self._columns else 0

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append a row; tensors become numbers."""
        row = {_one_line(tag): value.item() if hasattr(value, "item") else value for tag, value in metrics.items()}
        row = {"step": step} | row | {"step": step}
        with self._lock:
            if not self._path.is_file():  # not yet there, or removed under the run
                self._columns = []
            self._add_columns(row)
            self._append(_lines([[_cell(row.get(column, "")) for column in self._columns]]))

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write ``hparams.yaml``."""
        written = yaml.dump(dict(params), Dumper=_Dumper, allow_unicode=True)
        self._replace(self._folder / "hparams.yaml", written.encode(errors="backslashreplace"))

    def save(self) -> None:
        """Nothing: rows do not wait."""

    def reopen(self) -> bool:
        """Look at the file again; tells whether there is none."""
        self._columns = []
        if self._path.is_file():
            with self._path.open(newline="", encoding="utf-8") as file:
                self._columns = next(csv.reader(file), [])
        return not self._columns

    def resume(self, last_step: int, size: int | None = None, *, own: str = "step") -> None:
        """Keep the rows up to ``last_step`` and drop the later ones.

        Args:
            last_step: the last step that is kept.
            size: bytes of rows that are kept at most: those that were there then.
            own: the column that tells rows on this axis from the module's own, which count on another; of
                those the size decides, where it is known.
        """
        source = self._path if self._columns else self._kept
        if not source.is_file():
            return
        header, _, body = source.read_bytes().partition(b"\n")
        body = body[: body.rfind(b"\n") + 1] if size is None else body[:size]  # a crash may cut the last line short
        self._columns = next(csv.reader([header.decode()]), [])
        at = self._columns.index("step")
        rows = csv.reader(io.StringIO(body.decode(errors="replace"), newline=""))
        mark = self._columns.index(own) if own in self._columns and size is not None else at
        kept = [row for row in rows if len(row) > at and (not any(row[mark:][:1]) or _is_up_to(row[at], last_step))]
        self._replace_rows(_lines([self._columns, *kept]))

    def restore(self) -> None:
        """Bring back the earlier run's rows, which Lightning has removed, where this run wrote none."""
        if not self._columns and self._kept.is_file() and not self._path.exists():
            os.link(self._kept, self._path)

    def _append(self, line: bytes) -> None:
        size = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError:
            with suppress(OSError):  # half a line would spoil the next one
                os.truncate(self._path, size)
            raise

    def _add_columns(self, row: Mapping[str, Any]) -> None:
        known = set(self._columns)
        columns = [*self._columns, *(tag for tag in row if tag not in known)]
        if len(columns) > len(self._columns):
            rows = self._path.read_bytes().partition(b"\n")[2] if self._columns else b""
            self._replace_rows(_lines([columns]) + rows)
            self._columns = columns

    def _replace_rows(self, content: bytes) -> None:
        """Lightning removes ``metrics.csv`` before a resumed run begins; a second name keeps the rows."""
        self._replace(self._path, content)
        fresh = self._kept.with_suffix(".new")
        with suppress(OSError):  # a file system without links
            fresh.unlink(missing_ok=True)
            os.link(self._path, fresh)
            os.replace(fresh, self._kept)

    def _replace(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".tmp")
        try:
            fresh.write_bytes(content)
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


def _lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as lines; what would end one early is quoted."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # quotes both \r and \n
    parts = []
    for row in rows:
        writer.writerow(row)
        parts.append(text.getvalue()[:-2])
        text.seek(0)
        text.truncate()
    return "".join(f"{part}\n" for part in parts).replace("\0", "").encode(errors="backslashreplace")


def _cell(value: Any) -> Any:
    """The value; no longer than Python's own reader of CSV allows."""
    return f"{value[:_LONGEST]}…" if isinstance(value, str) and len(value) > _LONGEST else value


def _is_up_to(step: str, last_step: int) -> bool:
    try:
        return float(step) <= last_step
    except ValueError:
        return False


def _one_line(tag: str) -> str:
    """A column's name on one line: the header is replaced as a line."""
    return " ".join(tag.splitlines())


def _named(value: object) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__qualname__}>"
