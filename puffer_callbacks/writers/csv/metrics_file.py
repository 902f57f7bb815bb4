"""``MetricsFile``: a CSV file that grows by rows and, cheaply, by columns."""

import csv
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from puffer_callbacks.writers.csv.files import replace_file, to_yaml
from puffer_callbacks.writers.csv.lines import to_lines, to_rows


class MetricsFile:
    """``metrics.csv`` of a run, in the place of the ``ExperimentWriter`` of Lightning's ``CSVLogger``.

    Rows are appended, whole or not at all. A new column goes to the end of the header, so earlier rows stay as they
    are, only shorter, and the header line alone is replaced: no row is parsed. A resumed run appends to the file.

    Args:
        folder: of ``metrics.csv`` and ``hparams.yaml``.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> MetricsFile.of(folder).log_metrics({"train/loss": 0.5}, 10)
        >>> (folder / "metrics.csv").read_text().split()
        ['step,train/loss', '10,0.5']
    """

    metrics: tuple[()] = ()
    """Rows that wait to be saved: none. Lightning's ``CSVLogger`` counts them where it is given no step."""

    _open: ClassVar[WeakValueDictionary[Path, "MetricsFile"]] = WeakValueDictionary()

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / "metrics.csv"
        self._second_name = folder / ".metrics.csv"
        self._lock = Lock()
        self._columns: list[str] = []
        self.lines = 0
        """Lines after the header: their number stays where others rewrite the file, as Lightning's writer does."""
        self._replaced: list[tuple[Any, Any]] = []
        self.hparams: dict[str, Any] = {}
        self.reopen()

    @classmethod
    def of(cls, folder: Path) -> "MetricsFile":
        """The file of a folder: one for all loggers of the process, whose columns would else get mixed up."""
        folder = Path(os.path.abspath(folder))
        file = cls._open.get(folder)
        if file is None:
            file = cls._open[folder] = cls(folder)
        return file

    def __reduce__(self) -> tuple[Callable[[Path], "MetricsFile"], tuple[Path]]:
        return MetricsFile.of, (self.folder,)

    def stand_in_for(self, logger: Any) -> None:
        """Take the place of a logger's own writer, which rewrites the file at every new column, until ``give_back``."""
        own = logger._experiment
        if own is None and not self._columns:  # it deletes the file when it opens it
            own = logger.experiment
        if own is not self and own is not None:
            self._replaced.append((logger, own))
        logger._experiment = self

    def give_back(self) -> None:
        """Give each logger its own writer back, which continues after the rows of this file."""
        self.reopen()
        while self._replaced:
            logger, own = self._replaced.pop()
            # it writes in the alphabet's order, and the header in it where a column is new to it, as "step" is here
            own.metrics_keys = [column for column in self._columns if column != "step"]
            if self.hparams:
                own.hparams = {**own.hparams, **self.hparams}
            logger._experiment = own

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Append a row; tensors of one element become numbers."""
        columns = [" ".join(tag.splitlines()) for tag in metrics]  # the header is replaced as a line
        numbers = [value.item() if hasattr(value, "item") else value for value in metrics.values()]
        row = {"step": step} | dict(zip(columns, numbers, strict=True)) | {"step": step}
        with self._lock:
            if not self._path.is_file():  # not yet there, or removed during the run
                self._columns, self.lines = [], 0
            self._add_columns(row)
            self._append(to_lines([[row.get(column, "") for column in self._columns]]))

    def log_hparams(self, params: Mapping[str, Any]) -> None:
        """Write ``hparams.yaml``: all hyperparameters that were ever logged."""
        self.hparams.update(params)
        replace_file(self.folder / "hparams.yaml", to_yaml(self.hparams))

    def save(self) -> None:
        """Nothing to do: no rows wait."""

    def reopen(self) -> bool:
        """Read the header of the file again, and return whether there is none; one that a crash cut short is none."""
        with self._lock:
            self._columns = []
            if self._path.is_file():
                with self._path.open(newline="", encoding="utf-8") as file:
                    is_whole = file.readline().endswith("\n")
                    file.seek(0)
                    self._columns = next(csv.reader(file), []) if is_whole else []
            return not self._columns

    def count_lines(self) -> None:
        """Count the lines of a file that others may have written to."""
        self.lines = self._path.read_bytes().count(b"\n") - 1 if self._columns else 0

    def resume(self, last_step: int, lines: int | None = None, *, own: str = "step") -> None:
        """Keep the rows up to ``last_step`` and drop later ones.

        Args:
            last_step: the last step that is kept.
            lines: those of rows at the checkpoint; what came after them is dropped.
            own: a column that only rows on this axis have. Rows of the module's own ``self.log`` count on another
                axis; where ``lines`` is known, it alone decides which of those are kept.
        """
        source = self._path if self._columns else self._second_name
        if not source.is_file():
            return
        header, _, body = source.read_bytes().partition(b"\n")
        whole = body.split(b"\n")[:-1]  # a crash may cut the last line short
        self._columns = next(to_rows(header), [])
        step = self._columns.index("step")
        mark = self._columns.index(own) if own in self._columns and lines is not None else step
        rows = to_rows(b"\n".join(whole[:lines]))
        kept = [row for row in rows if len(row) > step and (not any(row[mark:][:1]) or _up_to(row[step], last_step))]
        self._replace_rows(to_lines([self._columns, *kept]))
        self.count_lines()

    def restore(self) -> None:
        """Bring back the earlier run's rows, which Lightning has removed, where this run wrote none."""
        if not self._columns and self._second_name.is_file() and not self._path.exists():
            os.link(self._second_name, self._path)

    def _append(self, line: bytes) -> None:
        size = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(line)
            self.lines += line.count(b"\n")
        except OSError:
            with suppress(OSError):  # half a line would spoil the next one
                os.truncate(self._path, size)
            raise

    def _add_columns(self, row: Mapping[str, Any]) -> None:
        present = set(self._columns)
        columns = [*self._columns, *(tag for tag in row if tag not in present)]
        if len(columns) > len(self._columns):
            rows = self._path.read_bytes().partition(b"\n")[2] if self._columns else b""
            self._replace_rows(to_lines([columns]) + rows)
            self._columns = columns

    def _replace_rows(self, content: bytes) -> None:
        """Replace the file, and give it a second name: Lightning removes the first before a resumed run begins."""
        replace_file(self._path, content)
        fresh = self._second_name.with_suffix(".new")
        with suppress(OSError):  # a file system without links
            fresh.unlink(missing_ok=True)
            os.link(self._path, fresh)
            os.replace(fresh, self._second_name)


def _up_to(step: str, last_step: int) -> bool:
    try:
        return float(step) <= last_step
    except ValueError:
        return False
