"""Metrics as a table: a block of text with progress, time left, and one row or more per group."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from textwrap import wrap

from puffer_callbacks.loggers.lines import is_count
from puffer_callbacks.values.terminal import WIDTH
from puffer_callbacks.values.vocabulary import LOSSES, VOCABULARY, describe

_GROUP = 14  # characters of the first column
_MAX_ROWS = 5  # of a group; a deep network has hundreds of update ratios
_DUPLICATES = {
    "rollout/return_mean": "train/reward",
    "rollout/episode_length_mean": "train/episode_length",
    **{tag: f"train/{name}" for name, (tag, _) in LOSSES.items()},
}
"""Tags with the value of another one, up to its sign; they are left out where both are there."""


def metric_table(values: Mapping[str, float], *, title: str, width: int = WIDTH) -> list[str]:
    """The lines of a table of metrics, no wider than asked unless a single metric is.

    Args:
        values: tag to value; ``time/…`` belongs into the title and is left out.
        title: the first line, broken where it is too long.
        width: of the table, in characters.

    Example:
        >>> print(*metric_table({"train/reward": 21.34, "losses/policy": 0.0123}, title="step 100"), sep="\\n")
        --------------------------------------------------------------------------------
        | step 100                                                                     |
        --------------------------------------------------------------------------------
        | train         reward  21.3                                                   |
        | losses        policy  0.0123                                                 |
        --------------------------------------------------------------------------------
    """
    groups: dict[str, dict[str, str]] = {}
    for tag, value in sorted(values.items(), key=lambda item: _place(item[0])):
        group, _, name = tag.partition("/")
        if group != "time" and not _is_duplicate(tag, values):
            groups.setdefault(group if name else "", {})[name or group] = _rounded(tag, value)
    rows = [row for group, cells in groups.items() for row in _rows(group, cells, width - 4)]
    inner = max(width - 4, *map(len, rows), 0)
    rule = "-" * (inner + 4)
    return [
        rule,
        *(f"| {line:<{inner}} |" for line in wrap(title, inner)),
        rule,
        *(f"| {row:<{inner}} |" for row in rows),
        rule,
    ]


def progress_title(done: int, total: int | None, *, elapsed: float | None) -> str:
    """The title of a table: steps, their share of all steps, time so far and time left.

    Args:
        done: the steps so far.
        total: the steps of the whole run, if known.
        elapsed: seconds of training so far, if known.

    Example:
        >>> progress_title(20480, 102400, elapsed=75.0)
        'step 20480 of 102400 (20 %), 0:01:15 so far, 0:05:00 left'
    """
    parts = [f"step {done}" if total is None else f"step {done} of {total} ({100 * done / total:.0f} %)"]
    if elapsed is not None:
        parts.append(f"{_duration(elapsed)} so far")
        if total is not None and done > 0:
            parts.append(f"{_duration(elapsed * max(total - done, 0) / done)} left")
    return ", ".join(parts)


@cache
def _place(tag: str) -> int:
    """The tag's place in the vocabulary, which begins with what people look at first."""
    description = describe(tag)
    return len(VOCABULARY) if description is None else list(VOCABULARY).index(description.tag)


def _is_duplicate(tag: str, values: Mapping[str, float]) -> bool:
    other = values.get(_DUPLICATES.get(tag, ""))
    return other is not None and abs(other) == abs(values[tag])


def _rows(group: str, cells: Mapping[str, str], width: int) -> Iterator[str]:
    """The cells of a group in aligned columns, after the group's name in the first row."""
    names, numbers = max(map(len, cells)), max(map(len, cells.values()))
    columns = max(1, (width - _GROUP + 3) // (names + 2 + numbers + 3))
    texts = [f"{name:<{names}}  {number:<{numbers}}" for name, number in cells.items()]
    rows = ["   ".join(texts[at : at + columns]) for at in range(0, len(texts), columns)]
    if len(rows) > _MAX_ROWS:
        rows[_MAX_ROWS - 1 :] = [f"... and {len(texts) - columns * (_MAX_ROWS - 1)} more"]
    for at, row in enumerate(rows):
        yield f"{group[: _GROUP - 1] if at == 0 else '':<{_GROUP}}{row}".rstrip()


def _rounded(tag: str, value: float) -> str:
    """The number with three significant digits; counts and large numbers are whole."""
    whole = is_count(tag, value) or 1000 <= abs(value) < 1e9
    return f"{value:.0f}" if whole else f"{value:.3g}"


def _duration(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
