"""Exact sums over every step of an interval, at next to no price a step."""

import math
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeGuard

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.recorder.device_scalars import DeviceScalars
from puffer_callbacks.recorder.sums import Sums, Total
from puffer_callbacks.values.scalars import scalars_of

_MOST_NAMED = 64
"""Kinds of steps, by the names of their scalars, that are remembered."""
_FOLD_AT = 256
"""Rows kept before they are added up: memory stays flat however long the interval."""


class IntervalSums:
    """The sum of every scalar over every step since the last ``take``.

    Scalars are taken as they are at their step. On the CPU they are read at once, which costs a tenth of
    ``torch.stack``; on a device an interval costs one host transfer (see ``DeviceScalars``).

    Example:
        >>> sums = IntervalSums()
        >>> sums.add({"loss": 1.0}); sums.add({"loss": 2.0})
        True
        True
        >>> sums.take()
        {'loss': (3.0, 2, 0)}
    """

    def __init__(self) -> None:
        self.plain: Sums | None = None
        """What the latest step was added to, where it was a plain one: a step like it may be added there directly."""
        self._plain: dict[tuple[str, ...], Sums] = {}
        self._stacked: dict[tuple[str, ...], DeviceScalars] = defaultdict(DeviceScalars)
        self._totals: dict[str, Total] = {}
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
            self.plain = None
            return self._add_any(outputs)
        # what was plain under these names is trusted to stay: this is at every step
        if self.plain is not None and self.plain.add(outputs):
            return True
        self.plain = self._plain.get(tuple(outputs))
        return (self.plain is not None and self.plain.add(outputs)) or self._add_any(outputs)

    def add_floats(self, metrics: Mapping[str, float], *, steps: int = 1) -> None:
        """Add scalars that are on the host, which were the same for so many steps."""
        if steps:
            self._merge({name: _times(value, steps) for name, value in metrics.items()})

    def take(self) -> dict[str, Total]:
        """The sums since the last call."""
        self._fold()
        totals, self._totals = self._totals, {}
        return totals

    def state_dict(self) -> dict[str, Any]:
        """The running totals, for a checkpoint."""
        self._fold()
        return {name: list(total) for name, total in self._totals.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's totals."""
        self._fold()
        self._totals = {name: (total, int(count), int(others)) for name, (total, count, others) in state.items()}

    def forget(self) -> None:
        """Trust no names any more; what was added stays."""
        self._fold()
        self._other_steps, self._plain, self.plain = self.steps, {}, None

    def __getstate__(self) -> dict[str, Any]:
        self._fold()
        return vars(self) | {"_other_steps": self.steps, "_plain": {}, "plain": None}

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
                    self._fold_in({name: _times(float(value), 1)})
        if scalars and _are_plain(outputs) and tuple(outputs) == tuple(scalars):
            if len(self._plain) >= _MOST_NAMED:
                self.forget()
            read = Tensor.item if any(isinstance(value, Tensor) for value in outputs.values()) else _refuse
            self._plain.setdefault(tuple(scalars), Sums(tuple(scalars), read))
        self._other_steps += bool(scalars)
        return bool(scalars)

    def _fold(self) -> None:
        for sums in self._plain.values():
            self._fold_in(sums.take())
        for names, rows in self._stacked.items():
            if rows:
                self._fold_in(dict(zip(names, _totals_of(rows.take()), strict=True)))

    def _fold_in(self, totals: dict[str, Total]) -> None:
        if self._loss_scale != 1 and "loss" in totals:  # nothing else was divided
            total, count, nonfinite = totals["loss"]
            totals["loss"] = total * self._loss_scale, count, nonfinite
        self._merge(totals)

    def _merge(self, totals: dict[str, Total]) -> None:
        if not self._totals:  # as nearly always
            self._totals = totals
            return
        for name, (total, count, nonfinite) in totals.items():
            before = self._totals.get(name, (0.0, 0, 0))
            self._totals[name] = before[0] + total, before[1] + count, before[2] + nonfinite


def _times(value: float, steps: int) -> Total:
    return (value * steps, steps, 0) if math.isfinite(value) else (0.0, 0, steps)


def _totals_of(block: NDArray[np.float64]) -> list[Total]:
    finite = np.isfinite(block)
    sums, counts = np.where(finite, block, 0.0).sum(axis=0), finite.sum(axis=0)
    return [(total, count, len(block) - count) for total, count in zip(sums.tolist(), counts.tolist(), strict=True)]


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
