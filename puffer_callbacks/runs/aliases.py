"""The tags of other libraries under our own, with our signs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.values.vocabulary import describe

Series = tuple[NDArray[np.int64], NDArray[np.float64]]
"""Steps int64 [n] and values float64 [n]."""


@dataclass(frozen=True)
class Source:
    """A library that writes logs: how to identify it, and what it calls our tags.

    Args:
        name: the library.
        x_axis: what a step counts in its logs.
        signature: tags that only this library logs; any one of them identifies it.
        aliases: our tag to the library's tags for the same number, of which the first that a run has counts; a
            leading ``-`` marks a number with the opposite sign.
        from_start: tags of the library whose first value is subtracted, because ours begins at 0.
    """

    name: str
    x_axis: str
    signature: frozenset[str] = frozenset()
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_start: frozenset[str] = frozenset()

    def translate(self, series: Mapping[str, Series]) -> dict[str, Series]:
        """The series under our tags; what neither the table nor our vocabulary knows is left out.

        Example:
            >>> source = Source("mine", "steps", aliases={"train/entropy": ("-entropy_loss",)})
            >>> source.translate({"entropy_loss": (np.array([1]), np.array([-0.5]))})
            {'train/entropy': (array([1]), array([0.5]))}
        """
        foreign = {theirs.removeprefix("-") for names in self.aliases.values() for theirs in names}
        found = {tag: points for tag, points in series.items() if tag not in foreign and describe(tag)}
        for ours, names in self.aliases.items():
            first = next((name for name in names if name.removeprefix("-") in series), None)
            if first is not None:
                found[ours] = self._converted(first, *series[first.removeprefix("-")])
        return found

    def _converted(self, name: str, steps: NDArray[np.int64], values: NDArray[np.float64]) -> Series:
        if name in self.from_start:
            values = values - values[:1]
        return steps, -values if name.startswith("-") else values
