"""Counting floats by their top bits, a chunk at a time, with torch's operations.

The sign, the exponent and three bits of the mantissa are the top bits of a float, so a shift gives its bin. On the
host a chunk is small enough to stay in the processor's cache while several operations pass over it; an accelerator
takes larger ones, as each operation there has a price of its own. Nothing here waits for the device.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.histogram.bins import FIRST_BIN_OF_FLOAT32, FIRST_BIN_OF_FLOAT64, PER_OCTAVE

CHUNK = 1 << 18
"""The most numbers in one chunk on the host."""

CHUNK_ON_DEVICE = 1 << 22
"""The same on an accelerator."""

SMALL_ON_DEVICE = 1 << 16
"""An accelerator counts tensors of up to so many numbers together."""

TOTALS = 5
"""Minimum, maximum, sum, sum of squares, and how many numbers are zero."""


class Float32Counter:
    """Counts numbers that are exact in float32, at the speed of memory.

    Where some are not finite, the totals are not those of the others, and denormals, whose bits hold no exponent, are
    counted with the zeros; both show in the result, and ``Float64Counter`` counts such a tensor right.
    """

    bins: ClassVar[int] = 1 << 12
    first_bin: ClassVar[int] = FIRST_BIN_OF_FLOAT32

    def __init__(self, size: int, device: torch.device) -> None:
        kinds = torch.float32, torch.int32, torch.float64
        self._buffers = [torch.empty(size, dtype=kind, device=device) for kind in kinds]

    def add(self, chunk: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Count a chunk.

        Args:
            chunk: flat and contiguous, of at most ``size`` numbers.

        Returns:
            Counts by top bits, [bins], and the totals, each 0-d.
        """
        single, bits, double = (buffer[: len(chunk)] for buffer in self._buffers)
        if chunk.dtype != torch.float32:
            chunk = single.copy_(chunk)
        counts = count(top_bits(chunk, bits), self.bins)
        double.copy_(chunk)
        return counts, [*torch.aminmax(chunk), double.sum(), _squares(double), _zeros(chunk, counts)]


class Float64Counter:
    """Counts any numbers by way of float64; totals are those of the finite ones. Complex numbers count by magnitude."""

    bins: ClassVar[int] = 1 << 15
    first_bin: ClassVar[int] = FIRST_BIN_OF_FLOAT64

    def __init__(self, size: int, device: torch.device) -> None:
        """There are no buffers to allocate."""

    def add(self, chunk: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Count a chunk, as ``Float32Counter.add``."""
        double = as_float64(chunk)
        counts = count((double.view(torch.int64) >> 49).bitwise_and_(self.bins - 1), self.bins)
        if _is_host(chunk) and not counts.view(2, -1)[:, -PER_OCTAVE:].any():  # all are finite
            return counts, [*torch.aminmax(double), double.sum(), _squares(double), _zeros(double, counts)]
        finite = double.isfinite()
        low, high = torch.where(finite, double, torch.inf).min(), torch.where(finite, double, -torch.inf).max()
        kept = torch.where(finite, double, 0.0)
        return counts, [low, high, kept.sum(), _squares(kept), _zeros(double, counts)]


Counter = Float32Counter | Float64Counter


def _squares(double: Tensor) -> Tensor:
    """The sum of squares; on an accelerator without cuBLAS, which allocates memory of its own."""
    return double.dot(double) if _is_host(double) else double.square().sum()


def _zeros(chunk: Tensor, counts: Tensor) -> Tensor:
    """How many numbers are zero; on the host no look at the numbers where the counts exclude it."""
    if _is_host(chunk) and not counts.view(2, -1)[:, :PER_OCTAVE].any():
        return counts.new_zeros(())
    return (chunk == 0).sum()


def _is_host(tensor: Tensor) -> bool:
    return tensor.device.type == "cpu"


def as_float64(chunk: Tensor) -> Tensor:
    """Real numbers, or the magnitudes of complex ones."""
    return (chunk.to(torch.complex128).abs() if chunk.is_complex() else chunk).double()


def top_bits(chunk: Tensor, out: Tensor) -> Tensor:
    """The top 12 bits of each float32, as int32 from 0 on."""
    if _is_host(chunk):  # torch has no shift of unsigned integers
        np.right_shift(chunk.numpy().view(np.uint32), 20, out=out.numpy().view(np.uint32))
        return out
    return torch.bitwise_right_shift(chunk.view(torch.int32), 20, out=out).bitwise_and_(Float32Counter.bins - 1)


def count(index: Tensor, bins: int) -> Tensor:
    """How often each number below ``bins`` is in ``index`` (integers [N]): integers [bins]."""
    if _is_host(index):
        return torch.bincount(index, minlength=bins)
    if index.device.type == "cuda":  # bincount would wait for the device, to learn the largest index
        return torch.histc(index, bins, 0, bins)
    counts = torch.zeros(bins, dtype=torch.int64, device=index.device)
    return counts.scatter_add_(0, index.long(), torch.ones_like(index, dtype=torch.int64))


def count_small(tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Count many small tensors at once: on an accelerator an operation costs more than its numbers.

    Args:
        tensors: T tensors of one device, none of them empty, of numbers that are exact in float32.

    Returns:
        Counts by top bits, int64 [T, Float32Counter.bins], and totals, float64 [T, TOTALS].
    """
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
    lengths = _lengths(tuple([tensor.numel() for tensor in tensors]), flat.device)
    starts = torch.arange(len(tensors), dtype=torch.int32, device=flat.device) * Float32Counter.bins
    index = top_bits(flat, torch.empty_like(flat, dtype=torch.int32))
    index += starts.repeat_interleave(lengths, output_size=len(flat))
    counts = count(index, len(tensors) * Float32Counter.bins).long()
    double = flat.double()
    folds = (double, "min"), (double, "max"), (double, "sum"), (double.square(), "sum"), ((flat == 0).double(), "sum")
    totals = [torch.segment_reduce(values, fold, lengths=lengths, unsafe=True) for values, fold in folds]
    return counts.view(-1, Float32Counter.bins), torch.stack(totals, 1)


@lru_cache(maxsize=32)
def _lengths(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Kept on the device: a copy from the host may wait for it, and a model's sizes stay the same."""
    return torch.tensor(sizes).to(device)
