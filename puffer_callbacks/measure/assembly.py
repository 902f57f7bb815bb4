"""From counts by the top bits of floats to histograms."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.measure.counting import Narrow, Wide
from puffer_callbacks.measure.parts import Part
from puffer_callbacks.measure.tally import tally
from puffer_callbacks.values.histogram import Histogram, combine

_EDGE = 8
"""How many patterns of top bits, sign aside, zero and the denormals have; and NaN and infinity."""


def narrow(parts: Mapping[str, Part]) -> dict[str, Histogram | None]:
    """Histograms of numbers that are exact in float32; none where there is what only ``wide`` counts right.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
    """
    table, totals = tally([part.values for part in parts.values()], Narrow)
    cells = _Cells(table, Narrow)
    odd = _odd(cells, list(parts.values()))
    return {
        name: None if row in odd else cells.histogram(row, totals[row], zeros=part.zeros)
        for row, (name, part) in enumerate(parts.items())
    }


def _odd(cells: "_Cells", parts: Sequence[Part]) -> set[int]:
    """The rows of tensors that hold denormals, or values that are not finite."""
    odd = cells.rows_with(np.r_[1:_EDGE, Narrow.bins // 2 - _EDGE : Narrow.bins // 2])
    # Where the exponent and the top of the mantissa are zero the rest may not be: count what is not zero.
    unsure = [
        row
        for row in cells.rows_with([0]) - odd
        if parts[row].values.dtype in (torch.float32, torch.bfloat16)
    ]
    if unsure:
        nonzero = torch.stack([torch.count_nonzero(parts[row].values) for row in unsure]).tolist()
        sizes = [parts[row].values.numel() for row in unsure]
        odd |= {r for r, n, size in zip(unsure, nonzero, sizes, strict=True) if n + cells.zeros(r) != size}
    return odd


def wide(parts: Mapping[str, Part]) -> dict[str, Histogram]:
    """Histograms of any numbers.

    Args:
        parts: tensors of one device, none of them empty, the smallest first.
    """
    table, totals = tally([part.values for part in parts.values()], Wide)
    nonfinite, zeros = ([int(sum(line[i] for line in lines)) for lines in totals] for i in (4, 5))
    table[:, 0] -= nonfinite  # they were counted as zeros
    cells = _Cells(table, Wide)
    odd = cells.rows_with(np.arange(1, _EDGE))
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
        half, first = counter.bins // 2, counter.first_bin
        cells = np.flatnonzero(table.reshape(-1) != 0)
        patterns = cells & (counter.bins - 1)
        self._half, self._width = half, counter.bins
        self._cells, self._magnitudes = cells, patterns & (half - 1)
        self._counts = table.reshape(-1)[cells]
        self._bins = np.where(patterns < half, patterns + first, half - first - patterns).astype(np.int32)
        marks = np.arange(0, table.size, counter.bins)[:, None] + np.array(
            [0, 1, half, half + 1, counter.bins]
        )
        self._cuts = cells.searchsorted(marks).tolist()

    def rows_with(self, magnitudes: Sequence[int] | NDArray[np.int64]) -> set[int]:
        """The rows that hold one of these top bits, sign aside."""
        wanted = np.zeros(self._half, np.bool_)
        wanted[magnitudes] = True
        return set((self._cells[wanted[self._magnitudes]] // self._width).tolist())

    def zeros(self, row: int) -> int:
        """How many have nothing but zeros in their top bits, sign aside."""
        plus, above, minus, below, _ = self._cuts[row]
        return int(self._counts[plus:above].sum() + self._counts[minus:below].sum())

    def histogram(
        self, row: int, totals: Sequence[Sequence[float]], *, zeros: int, nonfinite: int = 0
    ) -> Histogram:
        """The histogram of a row, in the order of the values; top bits ascend away from zero both ways."""
        plus, above, minus, below, end = self._cuts[row]
        folded = [(low, high, total, squares) for low, high, total, squares, *_ in totals]
        bins = [self._bins[below:end][::-1], self._bins[above:minus]]
        counts = [self._counts[below:end][::-1], self._counts[above:minus]]
        if zeros := zeros + (self.zeros(row) if above > plus or below > minus else 0):
            bins.insert(1, np.zeros(1, np.int32))
            counts.insert(1, np.array([zeros]))
            folded.append((0.0, 0.0, 0.0, 0.0))
        return Histogram(np.concatenate(bins), np.concatenate(counts), nonfinite, *combine(folded))
