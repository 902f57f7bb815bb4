"""Counting many small tensors in one go: what costs here is the number of operations, not of numbers."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.measure.counting import Narrow, count_on_device, top_bits


def count_small(tensors: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Count tensors of numbers that are exact in float32, as ``Narrow`` counts a chunk.

    Args:
        tensors: T tensors of one device, none of them empty.

    Returns:
        Counts by top bits, int64 [T, bins]; and minimum, maximum, sum and sum of squares, float64 [T, 4].
    """
    sizes = [tensor.numel() for tensor in tensors]
    rows = np.repeat(np.arange(0, len(sizes) * Narrow.bins, Narrow.bins, dtype=np.uint32), sizes)
    return (_on_host if tensors[0].device.type == "cpu" else _on_device)(tensors, sizes, rows)


def _on_host(tensors: list[Tensor], sizes: list[int], rows: NDArray[np.uint32]) -> tuple[Tensor, Tensor]:
    flat = np.concatenate([tensor.float().numpy().reshape(-1) for tensor in tensors])
    rows += flat.view(np.uint32) >> 20
    counts = np.bincount(rows, minlength=len(sizes) * Narrow.bins)
    starts = np.cumsum([0, *sizes[:-1]])
    with np.errstate(invalid="ignore"):
        lows, highs = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
        sums = np.add.reduceat(flat, starts, dtype=np.float64)
        squares = np.add.reduceat(np.multiply(flat, flat, dtype=np.float64), starts)
    totals = np.array([lows, highs, sums, squares]).T
    return torch.from_numpy(counts.reshape(-1, Narrow.bins)), torch.from_numpy(totals)


def _on_device(tensors: list[Tensor], sizes: list[int], rows: NDArray[np.uint32]) -> tuple[Tensor, Tensor]:
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).float()
    index = top_bits(flat, torch.empty_like(flat, dtype=torch.int32))
    index += torch.from_numpy(rows.view(np.int32)).to(flat.device)
    counts = count_on_device(index, len(sizes) * Narrow.bins)
    lengths, double = torch.tensor(sizes, device=flat.device), flat.double()
    folds = [(double, "min"), (double, "max"), (double, "sum"), (double * double, "sum")]
    totals = [torch.segment_reduce(values, fold, lengths=lengths, unsafe=True) for values, fold in folds]
    return counts.view(-1, Narrow.bins), torch.stack(totals, 1)
