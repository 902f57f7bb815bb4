"""Counting floats by their top bits, a chunk at a time: the inner loops of the sketch.

The sign, the exponent and three bits of the mantissa are the top bits of a float, so a shift gives its bin. A
chunk is small enough to stay in the processor's cache while several operations pass over it.
"""

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.histogram.bins import FIRST_BIN_OF_FLOAT32, FIRST_BIN_OF_FLOAT64

CHUNK = 1 << 18
"""The most numbers in one chunk."""

SMALL = 1 << 14
"""Tensors of up to so many numbers are counted together."""


def top_bits(chunk: Tensor, out: Tensor) -> Tensor:
    """The top 12 bits of each float32, as int32 from 0 on."""
    if chunk.device.type == "cpu":  # torch has no shift of unsigned integers
        np.right_shift(chunk.numpy().view(np.uint32), 20, out=out.numpy().view(np.uint32))
        return out
    return torch.bitwise_right_shift(chunk.view(torch.int32), 20, out=out).bitwise_and_((1 << 12) - 1)


def count(index: Tensor, bins: int) -> Tensor:
    """How often each number below ``bins`` is in ``index`` (integers [N]), int64 [bins]."""
    if index.device.type == "cpu":
        return torch.bincount(index, minlength=bins)
    return count_on_device(index, bins)


def count_on_device(index: Tensor, bins: int) -> Tensor:
    """The same where ``bincount`` would wait for the device, to learn the largest index."""
    counts = torch.zeros(bins, dtype=torch.int64, device=index.device)
    return counts.scatter_add_(0, index.long(), torch.ones_like(index, dtype=torch.int64))


class Float32Counter:
    """Counts numbers that are exact in float32, at the speed of memory.

    It does not look for what is rare: counts in the bins of NaN, of infinities, or of denormals (whose bits
    have no exponent) tell that the tensor needs ``Float64Counter``.
    """

    bins = 1 << 12
    first_bin = FIRST_BIN_OF_FLOAT32

    def __init__(self, size: int, device: torch.device) -> None:
        kinds = torch.float32, torch.int32, torch.float64
        self._whole = [torch.empty(size, dtype=kind, device=device) for kind in kinds]
        self._cut = self._whole

    def add(self, chunk: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Count a chunk.

        Args:
            chunk: flat and contiguous, of at most ``size`` numbers.

        Returns:
            Counts by top bits, int64 [bins]; and minimum, maximum, sum and sum of squares, each 0-d.
        """
        size = chunk.numel()
        if self._cut[0].numel() != size:  # nearly all have one size
            self._cut = [buffer[:size] for buffer in self._whole]
        single, bits, double = self._cut
        if chunk.dtype != torch.float32:
            chunk = single.copy_(chunk)
        double.copy_(chunk)
        counts = count(top_bits(chunk, bits), self.bins)
        return counts, [*torch.aminmax(chunk), double.sum(), double.dot(double)]


class Float64Counter:
    """Counts any numbers by way of float64, and minds what is rare."""

    bins = 1 << 15
    first_bin = FIRST_BIN_OF_FLOAT64

    def __init__(self, size: int, device: torch.device) -> None:
        pass

    def add(self, chunk: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Count a chunk; what is not finite counts as a zero, and is told by its number.

        Args:
            chunk: flat and contiguous.

        Returns:
            Counts by top bits, int64 [bins]; and minimum, maximum, sum, sum of squares, how many are not
            finite, how many are zero, each 0-d.
        """
        double = (chunk.to(torch.complex128).abs() if chunk.is_complex() else chunk).double()
        finite = double.isfinite()
        kept = torch.where(finite, double, 0.0)
        counts = count((kept.view(torch.int64) >> 49).bitwise_and_(self.bins - 1), self.bins)
        ends = torch.where(finite, double, torch.inf).min(), torch.where(finite, double, -torch.inf).max()
        return counts, [*ends, kept.sum(), kept.dot(kept), (~finite).sum(), (double == 0).sum()]
