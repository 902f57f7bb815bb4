"""Counting many small tensors of an accelerator in one go: each operation there costs more than its numbers."""

import torch
from torch import Tensor

from puffer_callbacks.histogram.kernels import Float32Counter, count_on_device, top_bits


def count_small(tensors: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Count tensors of numbers that are exact in float32, as ``Float32Counter`` counts a chunk.

    Args:
        tensors: T tensors of one device, none of them empty.

    Returns:
        Counts by top bits, int64 [T, bins]; and minimum, maximum, sum and sum of squares, float64 [T, 4].
    """
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
    lengths = torch.tensor([tensor.numel() for tensor in tensors])
    rows = torch.arange(len(tensors), dtype=torch.int32).repeat_interleave(lengths) * Float32Counter.bins
    index = top_bits(flat, torch.empty_like(flat, dtype=torch.int32))
    index += rows.to(flat.device)
    counts = count_on_device(index, len(tensors) * Float32Counter.bins)
    lengths, double = lengths.to(flat.device), flat.double()
    folds = [(double, "min"), (double, "max"), (double, "sum"), (double * double, "sum")]
    totals = [torch.segment_reduce(values, fold, lengths=lengths, unsafe=True) for values, fold in folds]
    return counts.view(-1, Float32Counter.bins), torch.stack(totals, 1)
