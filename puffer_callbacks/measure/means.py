"""Exact means over every step of an interval, at next to no price a step."""

import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.measure.steprows import StepRows
from puffer_callbacks.values.scalars import Scalar, scalars_of

_FOLD_AT = 256
"""Rows kept before they are added up: memory stays flat however long the interval."""
_item = Tensor.item


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

    Scalars are taken as they are at their step. On the CPU they are read at once, which costs a tenth of
    ``torch.stack``; on a device an interval costs one host transfer (see ``StepRows``).

    Example:
        >>> means = IntervalMeans()
        >>> means.add({"loss": 1.0}); means.add({"loss": 2.0})
        True
        True
        >>> means.take()["loss"].mean
        1.5
    """

    def __init__(self) -> None:
        self._plain: dict[tuple[str, ...], tuple[list[list[float]], bool]] = {}
        self._stacked: dict[tuple[str, ...], StepRows] = defaultdict(StepRows)
        self._totals: dict[str, list[float]] = {}
        self._loss_scale = 1

    def add(self, outputs: object, loss_scale: int = 1) -> bool:
        """Add what a training step returned.

        Args:
            outputs: a mapping, nested at will, or a loss tensor.
            loss_scale: what its ``loss`` was divided by.

        Returns:
            Whether there was a scalar in it.
        """
        if loss_scale != self._loss_scale:
            self._fold()
            self._loss_scale = loss_scale
        known = self._plain.get(tuple(outputs)) if type(outputs) is dict else None
        if known is None:
            return self._add_any(outputs)
        rows, is_mixed = known  # what was plain under these names is trusted to stay: this is at every step
        values = outputs.values()  # type: ignore[attr-defined]
        try:
            rows.append([_number(value) for value in values] if is_mixed else list(map(_item, values)))
        except (OverflowError, RuntimeError, TypeError, ValueError):
            return self._add_any(outputs)
        if len(rows) >= _FOLD_AT:
            self._fold()
        return True

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
        self._plain.clear()
        self._stacked.clear()
        self._totals = {name: list(total) for name, total in state.items()}

    def _add_any(self, outputs: object) -> bool:
        scalars = scalars_of(outputs)
        on_device = {name: value for name, value in scalars.items() if isinstance(value, Tensor) and not _on_cpu(value)}
        if on_device:
            rows = self._stacked[tuple(on_device)]
            rows.add(list(on_device.values()))
            if len(rows) >= _FOLD_AT:
                self._fold()
        for name, value in scalars.items():
            if name not in on_device:
                with suppress(Exception):  # a tensor that holds no number
                    self.add_floats({name: float(value) * self._scale(name)})
        if type(outputs) is dict and outputs and outputs.keys() == scalars.keys():
            are_tensors = [_is_plain(value) for value in outputs.values()]
            if all(plain or type(value) is float for plain, value in zip(are_tensors, outputs.values(), strict=True)):
                self._plain.setdefault(tuple(outputs), ([], not all(are_tensors)))
        return bool(scalars)

    def _fold(self) -> None:
        for names, (rows, _) in self._plain.items():
            if rows:
                self._add_rows(names, rows)
                rows.clear()
        for names, stacked in self._stacked.items():
            if stacked:
                self._add_block(names, stacked.take())

    def _add_rows(self, names: tuple[str, ...], rows: list[list[float]]) -> None:
        """Rows on the host: so few are added up by themselves before NumPy has made an array of them."""
        try:
            sums = list(map(math.fsum, zip(*rows, strict=True)))
        except (OverflowError, TypeError, ValueError):  # of numbers that are huge or complex, or of both infinities
            sums = [math.nan]
        if not all(map(math.isfinite, sums)):
            real = [[math.nan if isinstance(number, complex) else number for number in row] for row in rows]
            self._add_block(names, np.array(real, dtype=np.float64))
            return
        for name, total in zip(names, sums, strict=True):
            self._add_totals(name, total * self._scale(name), len(rows), 0)

    def _add_block(self, names: tuple[str, ...], block: NDArray[np.float64]) -> None:
        finite = np.isfinite(block)
        sums, counts = np.where(finite, block, 0.0).sum(axis=0), finite.sum(axis=0)
        for name, total, count in zip(names, sums.tolist(), counts.tolist(), strict=True):
            self._add_totals(name, total * self._scale(name), count, len(block) - count)

    def _scale(self, name: str) -> int:
        """What the loss was divided by; nothing else was divided."""
        return self._loss_scale if name == "loss" else 1

    def _add_totals(self, name: str, total: float, count: int, nonfinite: int) -> None:
        totals = self._totals.get(name)
        if totals is None:
            self._totals[name] = [total, count, nonfinite]
        else:
            totals[0] += total
            totals[1] += count
            totals[2] += nonfinite


def _on_cpu(value: Tensor) -> bool:
    return value.device.type == "cpu"


def _number(value: Any) -> float:
    return value if type(value) is float else _item(value)


def _is_plain(value: object) -> bool:
    return type(value) is Tensor and _on_cpu(value) and not value.ndim and value.layout is torch.strided
