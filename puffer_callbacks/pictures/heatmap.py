"""Heat maps of numbers over time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.colormap import Pixels, colorize, scaled
from puffer_callbacks.pictures.layout import BACKGROUND, hstack, padded, vstack
from puffer_callbacks.pictures.text import MUTED, draw_text, number

_WIDTH = 480  # px, approximate width of the time axis
_ROW = 16  # px; smaller rows have no space for a name
_MAX_NAMED = 32
_HEIGHT = 480  # px, approximate height of strips without names
_NAME = 140  # px, largest width of a name


@dataclass(frozen=True, eq=False)
class Strip:
    """A row of a heat map: one number over time.

    Args:
        name: the label.
        values: [T].
        low: the darkest value.
        high: the brightest value.
    """

    name: str
    values: NDArray[np.float64]
    low: float
    high: float


def heatmap(sections: Sequence[Sequence[Strip]]) -> Pixels:
    """A heat map of strips: time from left to right, magenta where a number is not finite.

    A section of up to 32 strips has their names and scales next to it; more strips are drawn thinner and without
    names. Times and strips beyond the size of the picture are averaged.

    Args:
        sections: strips of equal length T; sections are separated by a gap.

    Example:
        >>> speed = Strip("speed", np.arange(8.0), 0.0, 7.0)
        >>> heatmap([[speed], [speed]]).shape[0]  # two strips, the space, the time
        58
    """
    names, cells, scales = zip(*(_section(section) for section in sections), strict=True)
    chart = vstack(cells, gap=8)
    time = _time(len(sections[0][0].values), chart.shape[1])
    columns = [vstack(names, gap=8, align_right=True), vstack([chart, time], gap=2), vstack(scales, gap=8)]
    return hstack(columns, gap=6)


def _section(strips: Sequence[Strip]) -> tuple[Pixels, Pixels, Pixels]:
    """The names, cells and scales of a section, of equal height."""
    shares = np.stack([_share(strip) for strip in strips])
    shares = _averaged(_averaged(shares, 2 * _WIDTH).T, 2 * _HEIGHT).T
    named = len(strips) <= _MAX_NAMED
    height = _ROW if named else max(1, _HEIGHT // len(shares))
    cells = colorize(shares, low=0, high=1).repeat(max(1, _WIDTH // shares.shape[1]), 1).repeat(height, 0)
    if not named:
        notes = [draw_text(note, color=MUTED) for note in (f"{len(strips)} rows", "own scales")]
        return _tall(notes[0], len(cells)), cells, _tall(notes[1], len(cells))
    cells[height - 1 :: height] = BACKGROUND  # a line between two strips
    names = [draw_text(strip.name, width=_NAME)[:height] for strip in strips]
    scales = [f"{number(strip.low)} .. {number(strip.high)}" for strip in strips]
    notes = [draw_text(scale, color=MUTED)[:height] for scale in scales]
    return vstack(names, gap=0, align_right=True), cells, vstack(notes, gap=0)


def _tall(line: Pixels, height: int) -> Pixels:
    return padded(line, bottom=max(0, height - len(line)))[:height]


def _time(length: int, width: int) -> Pixels:
    averaged = _stride(length, 2 * _WIDTH)
    last = f"step {length - 1}" + (f" ({averaged} to a column)" if averaged > 1 else "")
    ends = [draw_text("step 0", color=MUTED), draw_text(last, color=MUTED)]
    gap = width - sum(end.shape[1] for end in ends)
    return hstack(ends, gap=gap) if gap > 0 else ends[1]


def _share(strip: Strip) -> NDArray[np.float64]:
    finite = np.isfinite(strip.values)
    shares = scaled(np.where(finite, strip.values, strip.low), low=strip.low, high=strip.high)
    return np.where(finite, shares, np.nan)


def _averaged(rows: NDArray[np.float64], max_columns: int) -> NDArray[np.float64]:
    """[R, T] reduced to [R, at most ``max_columns``] by means over neighbors."""
    length = rows.shape[1]
    starts = np.arange(0, length, _stride(length, max_columns))
    return np.add.reduceat(rows, starts, axis=1) / np.diff([*starts, length])


def _stride(length: int, max_columns: int) -> int:
    return -(-length // max_columns)
