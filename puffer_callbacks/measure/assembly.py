"""From counts by the top bits of floats to histograms."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.measure.counting import Narrow, Wide
from puffer_callbacks.measure.parts import Part
from puffer_callbacks.measure.tally import tally
from puffer_callbacks.values.histogram import Histogram, combine

_EDGE = 8
"""How many patterns of top bits, sign aside, zero and the denormals have; and NaN and infinity."""


def narrow(parts: Mapping[str, Part], *, workers: int) -> dict[str, Histogram | None]:
    """Histograms of numbers that are exact in float32; none where there is what only ``wide`` counts right.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
        workers: how many threads may work at once.
    """
    table, totals = tally([part.values for part in parts.values()], Narrow, workers=workers)
    cells = _Cells(table, Narrow)
    odd = _odd(cells, list(parts.values()))
    return {
        name: None if row in odd else cells.histogram(row, totals[row], zeros=part.zeros)
        for row, (name, part) in enumerate(parts.items())
    }


def _odd(cells: "_Cells", parts: Sequence[Part]) -> set[int]:
    """The rows of tensors that hold denormals, or values that are not finite."""
    odd = cells.odd_rows
    # Where the exponent and the top of the mantissa are zero the rest may not be: count what is not zero.
    may_be_denormal = (row for row, part in enumerate(parts) if part.values.dtype in (torch.float32, torch.bfloat16))
    unsure = [row for row in may_be_denormal if cells.zeros(row) and row not in odd]
    if unsure:
        nonzero = torch.stack([torch.count_nonzero(parts[row].values) for row in unsure]).tolist()
        sizes = [parts[row].values.numel() for row in unsure]
        odd |= {r for r, n, size in zip(unsure, nonzero, sizes, strict=True) if n + cells.zeros(r) != size}
    return odd


def wide(parts: Mapping[str, Part], *, workers: int) -> dict[str, Histogram]:
    """Histograms of any numbers.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
        workers: how many threads may work at once.
    """
    table, totals = tally([part.values for part in parts.values()], Wide, workers=workers)
    nonfinite, zeros = ([int(sum(line[i] for line in lines)) for lines in totals] for i in (4, 5))
    table[:, 0] -= nonfinite  # they were counted as zeros
    cells = _Cells(table, Wide)
    odd = cells.odd_rows
    found = {}
    for row, (name, part) in enumerate(parts.items()):
        if row in odd or cells.zeros(row) != zeros[row]:
            found[name] = Histogram.of(part.values)  # denormals of float64 are rare enough to take their time
        else:
            finite = [line for line in totals[row] if line[0] <= line[1]]
            found[name] = cells.histogram(row, finite, zeros=part.zeros, nonfinite=nonfinite[row])
    return found


def of_zeros(zeros: int) -> Histogram:
    """The histogram of so many zeros.

    Example:
        >>> of_zeros(3).count, of_zeros(0).count
        (3, 0)
    """
    bins = np.zeros(min(zeros, 1), np.int32)
    return Histogram(bins, bins.astype(np.int64) + zeros, 0, *combine([(0.0, 0.0, 0.0, 0.0)] * len(bins)))


class _Cells:
    """The cells of a table of counts that hold something, row by row, by ascending top bits.

    Args:
        table: counts by top bits, int64 [T, bins]; the highest of the bits is the sign.
        counter: what counted them.
    """

    def __init__(self, table: NDArray[np.int64], counter: type[Narrow] | type[Wide]) -> None:
        width, half = counter.bins, counter.bins // 2
        cells = np.flatnonzero(table.reshape(-1) != 0)
        patterns = cells & (width - 1)
        marks = np.arange(0, table.size, width)[:, None] + np.array([0, 1, half, half + 1, width])
        self._cuts: list[list[int]] = cells.searchsorted(marks).tolist()
        self._counts = table.reshape(-1)[cells]
        self._bins = _bins(width, counter.first_bin)[patterns]
        self.odd_rows: set[int] = set((cells[_odd_patterns(width)[patterns]] // width).tolist())
        """The rows that hold denormals, or what is not finite."""

    def zeros(self, row: int) -> int:
        """How many have nothing but zeros in their top bits, sign aside."""
        plus, above, minus, below, _ = self._cuts[row]
        if plus == above and minus == below:
            return 0
        return int(self._counts[plus:above].sum() + self._counts[minus:below].sum())

    def histogram(self, row: int, totals: Sequence[Sequence[float]], *, zeros: int, nonfinite: int = 0) -> Histogram:
        """The histogram of a row, in the order of the values; top bits ascend away from zero both ways."""
        _, above, minus, below, end = self._cuts[row]
        folded = [(low, high, total, squares) for low, high, total, squares, *_ in totals]
        bins = [self._bins[below:end][::-1], self._bins[above:minus]]
        counts = [self._counts[below:end][::-1], self._counts[above:minus]]
        if zeros := zeros + self.zeros(row):
            bins.insert(1, np.zeros(1, np.int32))
            counts.insert(1, np.array([zeros]))
            folded.append((0.0, 0.0, 0.0, 0.0))
        return Histogram(np.concatenate(bins), np.concatenate(counts), nonfinite, *combine(folded))


@cache
def _bins(patterns: int, first: int) -> NDArray[np.int32]:
    """The bin of each pattern of top bits."""
    magnitudes = np.arange(patterns // 2, dtype=np.int32) + first
    return np.concatenate([magnitudes, -magnitudes])


@cache
def _odd_patterns(patterns: int) -> NDArray[np.bool_]:
    """Which patterns of top bits are those of denormals, and of what is not finite."""
    magnitudes = np.arange(patterns) % (patterns // 2)
    return (magnitudes >= patterns // 2 - _EDGE) | ((magnitudes > 0) & (magnitudes < _EDGE))
