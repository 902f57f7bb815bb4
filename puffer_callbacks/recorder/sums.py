"""What is done at every training step: numbers are added up, and nobody else is asked. Compiled where it can be."""

import math
from collections.abc import Callable, Mapping
from typing import Any

try:
    from puffer_callbacks.recorder._stepping import Passage, Sums

    IS_COMPILED = True
except ImportError:  # built without a compiler
    IS_COMPILED = False

Total = tuple[float, int, int]
"""The sum over the steps at which a value was finite, how many they are, and at how many others it was not."""

_FOLD_AT = 256
"""Rows kept before they are added up: memory stays flat however long the interval."""


class PlainSums:
    """The sum of each of a step's numbers, over steps that have the same names.

    Args:
        names: of the numbers, in order.
        read: gives a number for what is none yet, such as ``torch.Tensor.item``; raises for what holds none.

    Example:
        >>> sums = PlainSums(("loss", "kl"), float)
        >>> sums.add({"loss": 1.0, "kl": 0.5}), sums.add({"loss": 3.0, "kl": math.nan}), sums.add({"loss": 1.0})
        (True, True, False)
        >>> sums.take()
        {'loss': (4.0, 2, 0), 'kl': (0.5, 1, 1)}
    """

    def __init__(self, names: tuple[str, ...], read: Callable[[Any], Any]) -> None:
        self.names = names
        self.steps = 0
        """Steps so far, those that were taken included."""
        self._read = read
        self._rows: list[list[float]] = []
        self._totals = [(0.0, 0, 0)] * len(names)

    def add(self, outputs: Mapping[str, Any]) -> bool:
        """Add a step; tells whether it had these names, and a number for each. If not, nothing is added."""
        if type(outputs) is not dict or tuple(outputs) != self.names:
            return False
        try:
            row = [float(value if isinstance(value, float | int) else self._read(value)) for value in outputs.values()]
        except Exception:
            return False
        self._rows.append(row)
        self.steps += 1
        if len(self._rows) >= _FOLD_AT:
            self._fold()
        return True

    def take(self) -> dict[str, Total]:
        """The sums since the last call; of no steps, nothing."""
        self._fold()
        totals, self._totals = self._totals, [(0.0, 0, 0)] * len(self.names)
        return {name: total for name, total in zip(self.names, totals, strict=True) if total[1] or total[2]}

    def _fold(self) -> None:
        columns, self._rows = zip(*self._rows, strict=True), []
        for at, column in enumerate(columns):
            finite = [number for number in column if math.isfinite(number)]
            total, count, others = self._totals[at]
            self._totals[at] = (_sum(total, *finite), count + len(finite), others + len(column) - len(finite))


def _sum(*numbers: float) -> float:
    try:
        return math.fsum(numbers)
    except OverflowError:
        return sum(numbers)


if not IS_COMPILED:
    Passage, Sums = object, PlainSums  # type: ignore[assignment,misc]  # nobody asks for a passage then

__all__ = ["IS_COMPILED", "Passage", "PlainSums", "Sums", "Total"]
