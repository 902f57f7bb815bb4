"""Exact means over every step of an interval, at next to no price a step."""

import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.measure.steprows import StepRows
from puffer_callbacks.stepping import Sums
from puffer_callbacks.values.scalars import scalars_of

_MOST_NAMED = 64
"""Kinds of steps, by the names of their scalars, that are remembered."""
_FOLD_AT = 256
"""Rows kept before they are added up: memory stays flat however long the interval."""


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
        self.sums: Sums | None = None
        """What the latest step was added to, where it was a plain one: a step like it may be added there directly."""
        self._plain: dict[tuple[str, ...], Sums] = {}
        self._stacked: dict[tuple[str, ...], StepRows] = defaultdict(StepRows)
        self._totals: dict[str, list[float]] = {}
        self._other_steps = 0
        self._loss_scale = 1

    @property
    def steps(self) -> int:
        """Steps so far that had a scalar, those that were taken included."""
        return self._other_steps + sum(sums.steps for sums in self._plain.values())

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
        if type(outputs) is not dict:
            return self._add_any(outputs)
        # what was plain under these names is trusted to stay: this is at every step
        if self.sums is not None and self.sums.add(outputs):
            return True
        self.sums = self._plain.get(tuple(outputs))
        return (self.sums is not None and self.sums.add(outputs)) or self._add_any(outputs)

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
        self._fold()
        self._totals = {name: list(total) for name, total in state.items()}

    def forget(self) -> None:
        """Trust no names any more; what was added stays."""
        self._fold()
        self._other_steps, self._plain, self.sums = self.steps, {}, None

    def __getstate__(self) -> dict[str, Any]:
        self._fold()
        return vars(self) | {"_other_steps": self.steps, "_plain": {}, "sums": None}

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
        if scalars and _are_plain(outputs) and tuple(outputs) == tuple(scalars):
            if len(self._plain) >= _MOST_NAMED:
                self.forget()
            read = Tensor.item if any(isinstance(value, Tensor) for value in outputs.values()) else _refuse
            self._plain.setdefault(tuple(scalars), Sums(tuple(scalars), read))
        self._other_steps += bool(scalars)
        return bool(scalars)

    def _fold(self) -> None:
        for names, sums in self._plain.items():
            for name, (total, count, nonfinite) in zip(names, sums.take(), strict=True):
                if count or nonfinite:
                    self._add_totals(name, total * self._scale(name), count, nonfinite)
        for names, rows in self._stacked.items():
            if rows:
                self._add_block(names, rows.take())

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


def _refuse(value: object) -> float:
    raise TypeError(f"expected a number as before, got a {type(value).__name__}")


def _are_plain(outputs: object) -> TypeGuard[dict[str, Any]]:
    """Whether they are numbers that are read at once, without waiting for a device."""
    return type(outputs) is dict and all(map(_is_plain, outputs.values()))


def _is_plain(value: object) -> bool:
    if isinstance(value, float | int):
        return True
    return type(value) is Tensor and _on_cpu(value) and not value.ndim and value.layout is torch.strided
