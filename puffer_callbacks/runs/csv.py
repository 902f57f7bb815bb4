"""CSV files: Lightning's and our ``metrics.csv``, Stable-Baselines3's ``progress.csv``."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice, zip_longest
from pathlib import Path

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.media import read_picture
from puffer_callbacks.runs.rows import RowReader, read_text

Cell = float | str
_AT_ONCE = 1 << 8
"""Rows that are read together, column by column: so few that the garbage collector does not search them."""

_LONGEST = 2**31 - 1
"""Characters of a cell: the most that Python's reader can be given on every system."""


def read_csv(path: Path) -> Contents:
    """The columns of a CSV file as series; an empty cell is no point.

    Cells are separated by commas, or, where the header has none, by semicolons or tabs, as spreadsheets write them;
    numbers may have decimal commas then. A row may be shorter than the header: columns that come up during a run are
    added at the end. The last line is left out where it does not end, as its last number may be cut.

    Args:
        path: the file.
    """
    contents = Contents()
    text = read_text(path, contents).replace("\0", "")
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as the first Macintosh ended its lines, and its Excel does
    if text and not text.endswith("\n"):
        text = text[: text.rfind("\n") + 1]
        contents.problems.append(f"{path.name}: the last line is cut short; it was left out")
    delimiter, parse = dialect_of(text)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    reader = RowReader(contents)
    with cells_of_any_length():
        header = names_of(next(rows, []))
        whole = _whole_rows(rows, len(header), path.name, contents)
        while block := list(islice(whole, _AT_ONCE)):
            reader.add_columns(_columns(header, block, parse), len(block))
    _find_pictures(contents, path.parent)
    return contents


@contextmanager
def cells_of_any_length() -> Iterator[None]:
    """A block in which Python reads cells of more than 131,072 characters too, as of prompts and their completions."""
    usual = csv.field_size_limit(_LONGEST)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _find_pictures(contents: Contents, folder: Path) -> None:
    """A picture is the path of its file below ``media/``, as our callbacks write it."""
    for tag, texts in list(contents.text.items()):
        if all(text.startswith("media/") and text.endswith((".png", ".gif")) for _, text in texts):
            contents.images[tag] = [(step, partial(read_picture, folder / text)) for step, text in texts]
            del contents.text[tag]


def _whole_rows(rows: Iterator[list[str]], columns: int, name: str, contents: Contents) -> Iterator[list[str]]:
    for number, row in enumerate(rows, 2):
        if len(row) > columns:
            contents.problems.append(
                f"{name}: row {number} has {len(row)} cells for {columns} columns; it was left out"
            )
            continue
        yield row


def names_of(header: list[str]) -> list[str]:
    """The names of the columns, without the spaces that stand after the separators."""
    return [name.strip() for name in header]


def _columns(header: list[str], rows: list[list[str]], parse: Callable[[str], Cell]) -> dict[str, list[Cell | None]]:
    """The cells below each name; of columns of one name a row has the last cell that is not empty."""
    columns: dict[str, Sequence[str]] = {}
    for tag, cells in zip(header, zip_longest(*rows, fillvalue=""), strict=False):
        earlier = columns.get(tag)
        columns[tag] = cells if earlier is None else [own or other for own, other in zip(cells, earlier, strict=True)]
    columns.pop("", None)  # the index of a pandas table
    return {tag: _parsed(cells, parse) for tag, cells in columns.items()}


def _parsed(cells: Sequence[str], parse: Callable[[str], Cell]) -> list[Cell | None]:
    if "_" not in "".join(cells):
        try:
            return list(map(float, cells))  # nearly all columns are of numbers alone
        except ValueError:
            pass
    return [parse(cell) if cell else None for cell in cells]


def dialect_of(text: str) -> tuple[str, Callable[[str], Cell]]:
    """What separates the cells, commas or what the header has in their place; and what reads a cell.

    Args:
        text: of the file, or its first line.
    """
    header = text.partition("\n")[0]
    delimiter = next((each for each in ",;\t" if each in header), ",")
    return delimiter, _parse_cell if delimiter == "," else _parse_comma_decimal


def _parse_comma_decimal(cell: str) -> Cell:
    """A cell as a number where it is one with a decimal point or comma, else as its text."""
    number = _parse_cell(cell.replace(",", ".", 1))
    return cell if isinstance(number, str) else number


def _parse_cell(cell: str) -> Cell:
    """A cell as a number where it is one, else as its text; with an underscore it is a name, as Python's 1_000."""
    try:
        return cell if "_" in cell else float(cell)
    except ValueError:
        return cell
