"""Counts many tensors at once, at about the speed of reading them.

The compiled kernel counts float32 tensors in the host's memory; ``chunks`` counts all others, where they are. Numbers
that float32 does not hold exactly are counted as float64, and so are tensors with values that are rare: those that are
not finite, and denormals, whose top bits do not determine their bin.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.histogram.bins import bins_of
from puffer_callbacks.histogram.chunks import count_in_chunks, to_host
from puffer_callbacks.histogram.count_table import Counted, by_slot, merge_zeros, pop_nonfinite, rows
from puffer_callbacks.histogram.kernels import CHUNK, Counter, Float32Counter, Float64Counter, as_float64
from puffer_callbacks.histogram.local_tensor import Part, as_tensor, local_part, pieces
from puffer_callbacks.histogram.native import count_compiled

_MOST_CELLS = 1 << 21
"""Counts in one batch of tensors, 16 MiB."""


def count_all(values: Mapping[str, Any]) -> dict[str, Counted]:
    """Count the numbers that this process holds of each tensor.

    One pass over the numbers: no look for the range first, and a few MiB of temporary memory whatever the sizes. An
    accelerator is waited for only where the result is copied to the host, once for up to 512 float32 tensors. What is
    rare takes a second pass.

    Args:
        values: name to tensor, array or list of numbers.

    Raises:
        TypeError: if a value does not hold numbers.
        ValueError: if a tensor is on the meta device, quantized, freed, or holds partial sums.
    """
    tensors = {name: as_tensor(name, each) for name, each in values.items()}
    found = {name: counted for name, counted in count_compiled(tensors).items() if counted}
    if len(found) < len(tensors):
        found |= _count_others({name: tensor for name, tensor in tensors.items() if name not in found})
    return {name: found[name] for name in tensors}


@torch.no_grad()
def _count_others(tensors: Mapping[str, Tensor]) -> dict[str, Counted]:
    parts = {name: local_part(name, tensor) for name, tensor in tensors.items()}
    found = {name: _zeros_only(part.zeros) for name, part in parts.items() if not part.values.numel()}
    while waiting := {name: part for name, part in parts.items() if name not in found}:
        for batch in _batches(waiting):
            found |= _count_batch(batch)
        parts = {name: part._replace(needs_float64=True) for name, part in waiting.items()}
    return found


def _zeros_only(zeros: int) -> Counted:
    extreme = 0.0 if zeros else np.nan
    bins = np.zeros(min(zeros, 1), np.int32)
    return Counted(bins, bins + np.int64(zeros), 0, extreme, extreme, 0.0, 0.0)


def _counter(part: Part) -> type[Counter]:
    return Float64Counter if part.needs_float64 else Float32Counter


def _batches(parts: Mapping[str, Part]) -> Iterator[dict[str, Part]]:
    """Parts of one device, the smallest first, no more than the memory for counts allows."""
    ordered = sorted(parts.items(), key=lambda item: item[1].values.numel())
    for device in dict.fromkeys(part.values.device for part in parts.values()):
        batch: dict[str, Part] = {}
        cells = 0
        for name, part in ordered:
            if part.values.device == device:
                cells += _counter(part).bins
                if batch and cells > _MOST_CELLS:
                    yield batch
                    batch, cells = {}, _counter(part).bins
                batch[name] = part
        yield batch


def _count_batch(batch: Mapping[str, Part]) -> dict[str, Counted]:
    """Count parts by their counters, with one copy to the host; without those that need another counter."""
    groups: dict[type[Counter], dict[str, Part]] = {}
    for name, part in batch.items():
        groups.setdefault(_counter(part), {})[name] = part
    pending = [count_in_chunks([part.values for part in group.values()], kind) for kind, group in groups.items()]
    arrays = iter(to_host([tensor for each in pending for tensor in (each.counts, each.totals)]))
    found: dict[str, Counted] = {}
    for (kind, group), each in zip(groups.items(), pending, strict=True):
        counted = _assemble(kind, list(group.values()), next(arrays), next(arrays), each.owners)
        found |= {name: row for name, row in zip(group, counted, strict=True) if row}
    return found


def _assemble(
    counter: type[Counter], parts: Sequence[Part], counts: NDArray[Any], totals: NDArray[Any], owners: Sequence[int]
) -> list[Counted | None]:
    """What was counted of each part, from counts by top bits, [T, bins], and the totals of chunks; ``None`` for those
    that need another counter.
    """
    table = by_slot(counts)
    nonfinite, zero_or_denormal = pop_nonfinite(table), merge_zeros(table)
    not_stored = np.array([part.zeros for part in parts])
    table[:, counter.bins // 2] += not_stored
    sums = _by_part(totals, owners, not_stored)
    counted = rows(table, counter.first_bin, nonfinite, sums[:, :4])
    has_denormals = (zero_or_denormal != sums[:, 4]).tolist()
    if counter is Float32Counter:
        return [None if tiny or row.nonfinite else row for row, tiny in zip(counted, has_denormals, strict=True)]
    return [
        _with_denormals(row, part.values) if tiny else row
        for row, part, tiny in zip(counted, parts, has_denormals, strict=True)
    ]


def _by_part(totals: NDArray[Any], owners: Sequence[int], not_stored: NDArray[np.int64]) -> NDArray[np.float64]:
    """Totals of parts, [T, TOTALS], from those of their chunks and the zeros that they do not store."""
    starts = np.searchsorted(owners, np.arange(len(not_stored)))
    with np.errstate(over="ignore", invalid="ignore"):  # of values that are not finite
        low, high = np.minimum.reduceat(totals[:, 0], starts), np.maximum.reduceat(totals[:, 1], starts)
        sums = np.add.reduceat(totals[:, 2:], starts)
    low[not_stored > 0] = np.minimum(low, 0.0)[not_stored > 0]
    high[not_stored > 0] = np.maximum(high, 0.0)[not_stored > 0]
    return np.column_stack([low, high, sums])


def _with_denormals(counted: Counted, values: Tensor) -> Counted:
    """Move denormals of float64, which are rare and were counted with the zeros, into their own bins."""
    smallest = torch.finfo(torch.float64).tiny
    doubles = (as_float64(piece) for piece in pieces(values, CHUNK))
    denormals = torch.cat([double[(double != 0) & (double.abs() < smallest)] for double in doubles]).cpu().numpy()
    bins, counts = np.unique(bins_of(denormals), return_counts=True)
    positions = counted.bins.searchsorted(bins)
    all_bins = np.insert(counted.bins, positions, bins)
    all_counts = np.insert(counted.bin_counts - (counted.bins == 0) * len(denormals), positions, counts)
    return counted._replace(bins=all_bins[all_counts > 0], bin_counts=all_counts[all_counts > 0])
