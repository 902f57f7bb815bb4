"""The scalars of many steps on a device, moved to the host together."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.values.scalars import stacked

Block = NDArray[np.float64]


class DeviceScalars:
    """The scalars of steps that have the same names, kept on their device.

    Each step's scalars are copied there into one small tensor, without waiting for the device, and all reach the host
    in one transfer. They are copied at the step because a reference would show a later value where a tensor is used
    again, such as a running mean in a buffer or the output of a CUDA graph.

    Example:
        >>> rows = DeviceScalars()
        >>> for step in range(3):
        ...     rows.append([torch.tensor(float(step))])
        >>> rows.pop().ravel()
        array([0., 1., 2.])
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, scalars: list[Tensor]) -> None:
        """Append a step: its 0-d tensors, detached."""
        self._rows.append(stacked(scalars))

    def pop(self) -> Block:
        """Return the steps so far, float64 [steps, scalars], and forget them."""
        rows, self._rows = self._rows, []
        alike = all(row.dtype == rows[0].dtype and row.device == rows[0].device for row in rows)
        block = torch.stack(rows if alike else [row.to("cpu", torch.float64) for row in rows])
        return block.cpu().double().numpy()
