"""The scalars of many steps, read as late as truth allows."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.values.scalars import stacked

Block = NDArray[np.float64]


class StepRows:
    """The scalars of steps that have the same names.

    They are taken as they are at that step: a reference would show a later value where a tensor is used again,
    such as a running mean in a buffer or the output of a CUDA graph. On the CPU they are read at once, which
    costs a tenth of ``torch.stack``. On a device they are copied there into one small tensor, without waiting
    for it, and reach the host together.

    Example:
        >>> rows = StepRows()
        >>> for step in range(3):
        ...     rows.add([torch.tensor(float(step))])
        >>> rows.take().ravel()
        array([0., 1., 2.])
    """

    def __init__(self) -> None:
        self._on_host: bool | None = None
        self._numbers: list[list[float]] = []
        self._tensors: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._numbers) + len(self._tensors)

    def add(self, scalars: list[Tensor]) -> None:
        """Add a step: its 0-d tensors, detached."""
        if self._on_host is None:
            self._on_host = all(scalar.device.type == "cpu" for scalar in scalars)
        if self._on_host:
            self._numbers.append([scalar.item() for scalar in scalars])
        else:
            self._tensors.append(stacked(scalars))

    def take(self) -> Block:
        """The steps so far, float64 [steps, scalars]; empty afterwards."""
        numbers, tensors = self._numbers, self._tensors
        self._numbers, self._tensors = [], []
        blocks = [np.array(numbers, dtype=np.float64)] if numbers else []
        return np.concatenate([*blocks, _to_host(tensors)]) if tensors else blocks[0]


def _to_host(rows: list[Tensor]) -> Block:
    """Rows of one length as one array, in one transfer where they are of one kind."""
    alike = all(row.dtype == rows[0].dtype and row.device == rows[0].device for row in rows)
    block = torch.stack(rows if alike else [row.to("cpu", torch.float64) for row in rows])
    return block.cpu().double().numpy()
