"""``IntervalSums``: exact sums of every scalar over every step of an interval."""

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.recorder.metric_objects import MetricObject, metric_objects
from puffer_callbacks.values.scalars import Scalar, as_scalar, scalars_of, stacked

Total = tuple[float, int, int]
"""The sum over the steps at which a value was finite, the number of those steps, and the number of the others."""

_NUMBERS = frozenset({float, int, bool})
_MAX_ROWS = 256
"""Rows kept before they are summed: memory stays flat however long the interval."""
_MAX_LAYOUTS = 64
"""Sets of names whose rows are kept apart."""


class IntervalSums:
    """The sum of every scalar over every step since the last ``pop``.

    Scalars are copied at their step: a reference would show a later value where a tensor is used again, such as a
    running mean in a buffer or the output of a CUDA graph. On the CPU a step is one list of floats, a column for each
    name; on a device it is one stacked tensor, for which nothing waits, and an interval costs one host transfer.
    Columns are summed with ``math.fsum``, which rounds once.

    Example:
        >>> sums = IntervalSums()
        >>> sums.add({"loss": 1.0}), sums.add({"loss": 2.0})
        (True, True)
        >>> sums.pop()
        {'loss': (3.0, 2, 0)}
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, ...], list[list[float]]] = {}
        self._on_device: dict[tuple[str, ...], list[Tensor]] = defaultdict(list)
        self._totals: dict[str, Total] = {}
        self._loss_scale = 1
        self.metrics: dict[str, MetricObject] = {}
        """The torchmetrics objects among the outputs so far, by name."""

    def add(self, outputs: object, rates: Mapping[str, Scalar] | None = None, *, loss_scale: int = 1) -> bool:
        """Add a training step.

        Args:
            outputs: what it returned: a mapping, nested at will, or a loss tensor.
            rates: the learning rates, by name; one that ``outputs`` has under the same name is ``<name>/0`` beside it.
            loss_scale: what its ``loss`` was divided by.

        Returns:
            Whether ``outputs`` had a scalar or a torchmetrics object.
        """
        if loss_scale != self._loss_scale:
            self._fold()
            self._loss_scale = loss_scale
        if outputs is None or (type(outputs) is dict and not outputs):  # as most steps of an adapter's update
            return False
        rates = rates or {}
        # names that had plain numbers on the host before are read at once: this runs at every step
        rows = self._rows.get((*outputs, *rates)) if type(outputs) is dict else None
        if rows is not None:
            try:
                values = (*outputs.values(), *rates.values())  # type: ignore[attr-defined]
                rows.append([value if type(value) in _NUMBERS else value.item() for value in values])
            except Exception:  # a value of another kind than before
                return self._add_any(outputs, rates)
            if len(rows) >= _MAX_ROWS:
                self._fold()
            return True
        return self._add_any(outputs, rates)

    @property
    def names(self) -> set[str]:
        """The names of the scalars in the sums, and of those that were plain numbers before."""
        return {*self._totals, *chain.from_iterable((*self._rows, *self._on_device))}

    def pop(self) -> dict[str, Total]:
        """Return the sums since the last call, and begin anew."""
        self._fold()
        totals, self._totals = self._totals, {}
        return totals

    def peek(self) -> dict[str, Total]:
        """The sums since the last ``pop``."""
        self._fold()
        return dict(self._totals)

    def state_dict(self) -> dict[str, Any]:
        """The sums so far, for a checkpoint."""
        return {name: list(total) for name, total in self.peek().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's sums."""
        self._fold()
        self._totals = {name: (total, int(count), int(others)) for name, (total, count, others) in state.items()}

    def __getstate__(self) -> dict[str, Any]:
        self._fold()
        return vars(self) | {"_rows": {}, "metrics": {}}

    def _add_any(self, outputs: object, rates: Mapping[str, Scalar]) -> bool:
        metrics = metric_objects(outputs)
        self.metrics.update(metrics)
        found = scalars_of(outputs)
        scalars = {**{_beside(found, name): rate for name, rate in rates.items()}, **found} if found else {}
        on_device = {name: value for name, value in scalars.items() if isinstance(value, Tensor) and not value.is_cpu}
        if on_device:
            rows = self._on_device[tuple(on_device)]
            rows.append(stacked(list(on_device.values())))
            if len(rows) >= _MAX_ROWS:
                self._fold()
        on_host = {name: value for name, value in scalars.items() if name not in on_device}
        for name, value in on_host.items():
            with suppress(Exception):  # a tensor that holds no number
                self._merge(name, _total([float(value)]))
        if found and not on_device and type(outputs) is dict and _are_plain(outputs, rates):
            if len(self._rows) >= _MAX_LAYOUTS:
                self._fold()
                self._rows = {}
            self._rows.setdefault((*outputs, *rates), [])
        return bool(found or metrics)

    def _fold(self) -> None:
        for names, rows in self._rows.items():
            columns: dict[str, Sequence[float]] = {}
            for name, numbers in zip(names, zip(*rows, strict=True), strict=False):
                columns[_beside(columns, name)] = numbers
            for name, column in columns.items():
                self._merge(name, _total(column))
            rows.clear()
        for names, rows_on_device in self._on_device.items():
            pending, rows_on_device[:] = list(rows_on_device), []
            if pending:
                for name, column in zip(names, _columns_on_host(pending), strict=True):
                    self._merge(name, _total(column))

    def _merge(self, name: str, fresh: Total) -> None:
        total, count, nonfinite = fresh
        if name == "loss":  # Lightning divides nothing else
            total *= self._loss_scale
        before = self._totals.get(name, (0.0, 0, 0))
        self._totals[name] = (before[0] + total, before[1] + count, before[2] + nonfinite)


def merge_totals(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, Total]:
    """The totals of several ranks, added up.

    Example:
        >>> merge_totals([{"loss": (3.0, 2, 0)}, {"loss": (1.0, 1, 1), "kl": (0.5, 1, 0)}])
        {'loss': (4.0, 3, 1), 'kl': (0.5, 1, 0)}
    """
    by_name: dict[str, list[Sequence[float]]] = defaultdict(list)
    for part in parts:
        for name, total in part.items():
            by_name[name].append(total)
    columns = {name: list(zip(*totals, strict=True)) for name, totals in by_name.items()}
    return {name: (math.fsum(sums), int(sum(n)), int(sum(others))) for name, (sums, n, others) in columns.items()}


def _beside(taken: Container[str], name: str) -> str:
    """The name of a learning rate: another one where the module returns one of this name."""
    while name in taken:
        name = f"{name}/0"
    return name


def _total(column: Sequence[float]) -> Total:
    with suppress(OverflowError, ValueError, TypeError):  # too large; infinities of both signs; a complex number
        total = math.fsum(column)
        if math.isfinite(total):
            return total, len(column), 0
    numbers = np.array([as_scalar(number) for number in column], np.float64)
    finite = numbers[np.isfinite(numbers)]
    return float(finite.sum()), len(finite), len(numbers) - len(finite)


def _columns_on_host(rows: list[Tensor]) -> list[list[float]]:
    """The columns of rows on a device, by one transfer."""
    alike = all(row.dtype == rows[0].dtype and row.device == rows[0].device for row in rows)
    block = torch.stack(rows if alike else [row.to("cpu", torch.float64) for row in rows])
    columns: list[list[float]] = block.cpu().double().T.tolist()
    return columns


def _are_plain(outputs: dict[Any, Any], rates: Mapping[str, Scalar]) -> bool:
    """Whether every value is a number, or a 0-d tensor or NumPy number on the host."""
    values = (*outputs.values(), *rates.values())
    are_numbers = all(type(value) in _NUMBERS or _is_plain_number(value) for value in values)
    return are_numbers and all(type(name) is str for name in outputs)


def _is_plain_number(value: object) -> bool:
    return hasattr(value, "item") and getattr(value, "ndim", None) == 0 and as_scalar(value) is not None
