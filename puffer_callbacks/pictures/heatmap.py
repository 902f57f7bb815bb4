"""Numbers over time as strips of colors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.colormap import Pixels, colorize, scaled
from puffer_callbacks.pictures.layout import PAPER, below, beside, padded
from puffer_callbacks.pictures.text import SOFT, number, words

_WIDTH = 480  # px, about, of the time axis
_ROW = 16  # px; less has no room for a name
_MOST_NAMED = 32
_HEIGHT = 480  # px, about, of strips without names
_NAME = 140  # px, the most


@dataclass(frozen=True, eq=False)
class Strip:
    """A number over time.

    Args:
        name: what it is.
        values: [T].
        low: what is darkest.
        high: what is brightest.
    """

    name: str
    values: NDArray[np.float64]
    low: float
    high: float


def heatmap(sections: Sequence[Sequence[Strip]]) -> Pixels:
    """Strips from top to bottom, time from left to right, magenta where a number is not finite.

    Up to 32 strips of a section stand with their names and scales; more are as thin as they must be. What
    is longer or more than the picture can hold is averaged.

    Args:
        sections: strips of one length T, with some space between two sections.

    Example:
        >>> speed = Strip("speed", np.arange(8.0), 0.0, 7.0)
        >>> heatmap([[speed], [speed]]).shape[0]  # two strips, the space, the time
        58
    """
    names, cells, scales = zip(*(_section(section) for section in sections), strict=True)
    chart = below(cells, gap=8)
    time = _time(len(sections[0][0].values), chart.shape[1])
    columns = [below(names, gap=8, align="end"), below([chart, time], gap=2), below(scales, gap=8)]
    return beside(columns, gap=6)


def _section(strips: Sequence[Strip]) -> tuple[Pixels, Pixels, Pixels]:
    """Names, cells and scales, of one height."""
    shares = np.stack([_share(strip) for strip in strips])
    shares = _averaged(_averaged(shares, 2 * _WIDTH).T, 2 * _HEIGHT).T
    named = len(strips) <= _MOST_NAMED
    height = _ROW if named else max(1, _HEIGHT // len(shares))
    cells = colorize(shares, low=0, high=1).repeat(max(1, _WIDTH // shares.shape[1]), 1).repeat(height, 0)
    if not named:
        notes = [words(note, color=SOFT) for note in (f"{len(strips)} rows", "own scales")]
        return _tall(notes[0], len(cells)), cells, _tall(notes[1], len(cells))
    cells[height - 1 :: height] = PAPER  # a hairline between two strips
    names = [words(strip.name, width=_NAME)[:height] for strip in strips]
    scales = [f"{number(strip.low)} .. {number(strip.high)}" for strip in strips]
    notes = [words(scale, color=SOFT)[:height] for scale in scales]
    return below(names, gap=0, align="end"), cells, below(notes, gap=0)


def _tall(line: Pixels, height: int) -> Pixels:
    return padded(line, bottom=max(0, height - len(line)))[:height]


def _time(length: int, width: int) -> Pixels:
    averaged = _stride(length, 2 * _WIDTH)
    last = f"step {length - 1}" + (f" ({averaged} to a column)" if averaged > 1 else "")
    ends = [words("step 0", color=SOFT), words(last, color=SOFT)]
    gap = width - sum(end.shape[1] for end in ends)
    return beside(ends, gap=gap) if gap > 0 else ends[1]


def _share(strip: Strip) -> NDArray[np.float64]:
    finite = np.isfinite(strip.values)
    shares = scaled(np.where(finite, strip.values, strip.low), low=strip.low, high=strip.high)
    return np.where(finite, shares, np.nan)


def _averaged(rows: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """[R, T] as [R, at most ``most``], by means over neighbors."""
    length = rows.shape[1]
    starts = np.arange(0, length, _stride(length, most))
    return np.add.reduceat(rows, starts, axis=1) / np.diff([*starts, length])


def _stride(length: int, most: int) -> int:
    return -(-length // most)
