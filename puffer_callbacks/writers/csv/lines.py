"""Rows as lines of a CSV file."""

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

_MAX_LENGTH = 100_000
"""Characters of a cell: Python's own reader takes at most 131,072 (``csv.field_size_limit()``)."""


def to_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as lines; cells that would end one early are quoted, and long ones cut.

    Args:
        rows: the cells of each row.

    Example:
        >>> to_lines([["step", "train/loss"], [10, 0.5]])
        b'step,train/loss\\n10,0.5\\n'
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # quotes both \r and \n
    lines = []
    for row in rows:
        writer.writerow(map(_cell, row))
        lines.append(text.getvalue()[:-2])
        text.seek(0)
        text.truncate()
    return "".join(f"{line}\n" for line in lines).replace("\0", "").encode(errors="backslashreplace")


def to_rows(lines: bytes) -> Iterator[list[str]]:
    """The cells of each line.

    Example:
        >>> list(to_rows(b'step,train/loss\\n10,0.5\\n'))
        [['step', 'train/loss'], ['10', '0.5']]
    """
    return csv.reader(io.StringIO(lines.decode(errors="replace"), newline=""))


def _cell(value: Any) -> Any:
    return f"{value[:_MAX_LENGTH]}…" if isinstance(value, str) and len(value) > _MAX_LENGTH else value
