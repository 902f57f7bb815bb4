"""Exact means over every step of an interval, at next to no price a step."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from puffer_callbacks.measure.steprows import StepRows
from puffer_callbacks.values.scalars import Scalar

_FOLD_AT = 256
"""Rows kept on the device before they are added up: memory stays flat however long the interval."""


class Mean(NamedTuple):
    """A mean and what it is over.

    Attributes:
        mean: over the finite steps; NaN where there is none.
        steps: finite steps.
        nonfinite: steps at which the value was NaN or infinite.
    """

    mean: float
    steps: int
    nonfinite: int


class IntervalMeans:
    """The mean of every scalar over every step since the last ``take``.

    A step's scalars are taken as ``StepRows`` tells; on a device an interval costs one host transfer.

    Example:
        >>> means = IntervalMeans()
        >>> means.add({"loss": 1.0}); means.add({"loss": 2.0})
        >>> means.take()["loss"].mean
        1.5
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], StepRows] = defaultdict(StepRows)
        self._totals: dict[str, list[float]] = {}

    def add(self, metrics: Mapping[str, Scalar]) -> None:
        """Add one step's scalars."""
        tensors = {name: value for name, value in metrics.items() if isinstance(value, Tensor)}
        if tensors:
            rows = self._rows[tuple(tensors)]
            rows.add(list(tensors.values()))
            if len(rows) >= _FOLD_AT:
                self._fold()
        if len(tensors) < len(metrics):
            self.add_floats({name: float(value) for name, value in metrics.items() if name not in tensors})

    def add_floats(self, metrics: Mapping[str, float], *, steps: int = 1) -> None:
        """Add scalars that are on the host, which were the same for so many steps."""
        for name, value in metrics.items():
            if not steps:
                continue
            if math.isfinite(value):
                self._add_totals(name, value * steps, steps, 0)
            else:
                self._add_totals(name, 0.0, 0, steps)

    def take(self) -> dict[str, Mean]:
        """The means since the last call."""
        self._fold()
        totals, self._totals = self._totals, {}
        return {
            name: Mean(total / count if count else math.nan, int(count), int(nonfinite))
            for name, (total, count, nonfinite) in totals.items()
        }

    def state_dict(self) -> dict[str, Any]:
        """The running totals, for a checkpoint."""
        self._fold()
        return {name: list(total) for name, total in self._totals.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's totals."""
        self._rows.clear()
        self._totals = {name: list(total) for name, total in state.items()}

    def _fold(self) -> None:
        for names, rows in self._rows.items():
            if rows:
                block = rows.take()
                finite = np.isfinite(block)
                sums = np.where(finite, block, 0.0).sum(axis=0)
                counts = finite.sum(axis=0)
                for name, total, count in zip(names, sums, counts, strict=True):
                    self._add_totals(name, float(total), int(count), len(block) - int(count))

    def _add_totals(self, name: str, total: float, count: int, nonfinite: int) -> None:
        totals = self._totals.setdefault(name, [0.0, 0, 0])
        totals[0] += total
        totals[1] += count
        totals[2] += nonfinite
