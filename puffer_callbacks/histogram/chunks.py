"""Runs a counter over many tensors: on an accelerator small ones together, large ones in chunks that threads share."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.histogram.kernels import (
    CHUNK,
    CHUNK_ON_DEVICE,
    SMALL_ON_DEVICE,
    Counter,
    Float32Counter,
    count_small,
)
from puffer_callbacks.histogram.local_tensor import pieces

_MOST_WORKERS = 16
_WORTH_A_WORKER = 1 << 19


class ChunkCounts(NamedTuple):
    """What a counter found, still on the device of the tensors.

    Attributes:
        counts: int64 [T, bins], by top bits.
        totals: float64 [chunks, TOTALS].
        owners: of each chunk the tensor, ascending.
    """

    counts: Tensor
    totals: Tensor
    owners: list[int]


def count_in_chunks(tensors: Sequence[Tensor], counter: type[Counter]) -> ChunkCounts:
    """Count tensors of one device, without waiting for it.

    The chunks are the same, and their totals in the same order, whatever the number of threads: so is every digit of
    the result.

    Args:
        tensors: T dense tensors, none of them empty, the small ones first.
        counter: what counts a chunk.
    """
    together = counter is Float32Counter and tensors[0].device.type != "cpu"
    batches = list(_small_batches(tensors)) if together else []
    found = [count_small(batch) for batch in batches]
    owners = list(range(sum(map(len, batches))))
    if rest := tensors[len(owners) :]:
        counts, totals, rows = _count_large(rest, counter)
        owners += [len(tensors) - len(rest) + row for row in rows]
        found.append((counts, totals))
    counts, totals = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*found, strict=True))
    return ChunkCounts(counts, totals, owners)


def to_host(tensors: Sequence[Tensor]) -> list[NDArray[np.generic]]:
    """Tensors of eight-byte numbers on one device as arrays, by one transfer."""
    if tensors[0].device.type == "cpu":
        return [tensor.numpy() for tensor in tensors]
    packed = torch.cat([tensor.reshape(-1).view(torch.int64) for tensor in tensors]).cpu().numpy()
    parts = np.split(packed, np.cumsum([tensor.numel() for tensor in tensors])[:-1])
    kinds = [np.float64 if tensor.dtype == torch.float64 else np.int64 for tensor in tensors]
    return [part.view(kind).reshape(t.shape) for part, kind, t in zip(parts, kinds, tensors, strict=True)]


def _small_batches(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The small tensors, in lists of no more than a chunk together."""
    batch: list[Tensor] = []
    held = 0
    for tensor in tensors:
        size = tensor.numel()
        if size > SMALL_ON_DEVICE:
            break
        if held + size > CHUNK_ON_DEVICE:
            yield batch
            batch, held = [], 0
        batch.append(tensor)
        held += size
    if batch:
        yield batch


def _count_large(tensors: Sequence[Tensor], counter: type[Counter]) -> ChunkCounts:
    """Count tensors chunk by chunk: threads take the next one as they get free."""
    device, sizes = tensors[0].device, [tensor.numel() for tensor in tensors]
    size = CHUNK if device.type == "cpu" else CHUNK_ON_DEVICE
    jobs = enumerate((row, piece) for row, tensor in enumerate(tensors) for piece in pieces(tensor, size))
    counts = torch.zeros(len(tensors), counter.bins, dtype=torch.int64, device=device)
    counts_of = counts.unbind()
    done: dict[int, tuple[int, list[Tensor]]] = {}
    lock = Lock()

    @torch.inference_mode(counts.is_inference())  # a thread does not know what mode the others are in
    def work() -> None:
        count = counter(min(size, max(sizes)), device)
        while True:
            with lock:
                order, (row, piece) = next(jobs, (-1, (-1, counts)))
            if order < 0:
                return
            found, totals = count.add(piece)
            with lock:
                counts_of[row].add_(found)
                done[order] = row, totals

    _in_threads(work, sum(sizes) // _WORTH_A_WORKER if device.type == "cpu" else 1)
    rows, totals = zip(*(done[order] for order in range(len(done))), strict=True)
    columns = [torch.stack(column).double() for column in zip(*totals, strict=True)]
    return ChunkCounts(counts, torch.stack(columns, 1), list(rows))


def _in_threads(work: Callable[[], None], most: int) -> None:
    """Call it in this thread, and in as many more as torch may use; torch computes in each of them alone.

    Many short operations pass over a chunk. Shared among threads they would wait for each other at the end of each,
    for long where other processes need the processors; so threads take chunks instead.
    """
    threads = torch.get_num_threads()
    others = min(threads, most, _MOST_WORKERS) - 1
    torch.set_num_threads(1)
    try:
        if others < 1:
            return work()
        with ThreadPoolExecutor(others, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            jobs = [pool.submit(work) for _ in range(others)]
            work()
        for job in jobs:
            job.result()
    finally:
        torch.set_num_threads(threads)
