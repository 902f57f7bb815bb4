"""Runs a counter over many tensors: small ones together, large ones in chunks that threads share."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.histogram.kernels import CHUNK, SMALL, Float32Counter, Float64Counter
from puffer_callbacks.histogram.local_tensor import pieces
from puffer_callbacks.histogram.small import count_small

_MOST_WORKERS = 16
_WORTH_A_WORKER = 1 << 19


def count_in_chunks(
    tensors: Sequence[Tensor], counter: type[Float32Counter] | type[Float64Counter]
) -> tuple[NDArray[np.int64], list[list[list[float]]]]:
    """Count tensors of one device, with one transfer to the host.

    The chunks are the same, and their totals in the same order, whatever the number of threads: so is every
    digit of the result.

    Args:
        tensors: T dense tensors, none of them empty, the small ones first.
        counter: what counts a chunk.

    Returns:
        Counts by top bits, int64 [T, counter.bins]; and for each tensor what the counter tells of its chunks.
    """
    counts: list[Tensor] = []
    totals: list[Tensor] = []
    owners: list[int] = []
    for batch in _batches(tensors) if counter is Float32Counter else ():
        owners += range(len(owners), len(owners) + len(batch))
        found, told = count_small(batch)
        counts.append(found)
        totals.append(told)
    rest = tensors[len(owners) :]
    if rest:
        rows, found, told = _share(rest, counter)
        owners += [len(tensors) - len(rest) + row for row in rows]
        counts.append(found)
        totals.append(told)
    table, lines = _to_host(counts, totals)
    by_tensor: list[list[list[float]]] = [[] for _ in tensors]
    for owner, line in zip(owners, lines.tolist(), strict=True):
        by_tensor[owner].append(line)
    return table, by_tensor


def _batches(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The small tensors, in lists of no more than a chunk together."""
    batch: list[Tensor] = []
    held = 0
    for tensor in tensors:
        size = tensor.numel()
        if size > SMALL:
            break
        if held + size > CHUNK:
            yield batch
            batch, held = [], 0
        batch.append(tensor)
        held += size
    if batch:
        yield batch


def _share(
    tensors: Sequence[Tensor], counter: type[Float32Counter] | type[Float64Counter]
) -> tuple[list[int], Tensor, Tensor]:
    """Count tensors chunk by chunk: threads take the next one as they get free."""
    device, sizes = tensors[0].device, [tensor.numel() for tensor in tensors]
    jobs = enumerate((row, piece) for row, tensor in enumerate(tensors) for piece in pieces(tensor, CHUNK))
    counts = torch.zeros(len(tensors), counter.bins, dtype=torch.int64, device=device)
    counts_of = counts.unbind()
    told: dict[int, tuple[int, list[Tensor]]] = {}
    lock = Lock()

    @torch.inference_mode(counts.is_inference())  # a thread does not know what mode the others are in
    def work() -> None:
        count = counter(min(CHUNK, max(sizes)), device)
        while True:
            with lock:
                place, (row, piece) = next(jobs, (-1, (-1, counts)))
            if place < 0:
                return
            found, totals = count.add(piece)
            with lock:
                counts_of[row].add_(found)
                told[place] = row, totals

    _in_threads(work, sum(sizes) // _WORTH_A_WORKER if device.type == "cpu" else 1)
    rows, totals = zip(*(told[place] for place in range(len(told))), strict=True)
    columns = [torch.stack(column).double() for column in zip(*totals, strict=True)]
    return list(rows), counts, torch.stack(columns, 1)


def _in_threads(work: Callable[[], None], most: int) -> None:
    """Call it in this thread, and in as many more as torch may use; torch computes in each of them alone.

    Many short operations pass over a chunk. Shared among threads they would wait for each other at the end of
    each, for long where other processes need the processors; so threads take chunks instead.
    """
    threads = torch.get_num_threads()
    others = min(threads, most, _MOST_WORKERS) - 1
    torch.set_num_threads(1)
    try:
        if others < 1:
            return work()
        with ThreadPoolExecutor(others, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            helped = [pool.submit(work) for _ in range(others)]
            work()
        for help in helped:
            help.result()
    finally:
        torch.set_num_threads(threads)


def _to_host(counts: list[Tensor], totals: list[Tensor]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    table, lines = (both[0] if len(both) == 1 else torch.cat(both) for both in (counts, totals))
    if table.device.type == "cpu":
        return table.numpy(), lines.numpy()
    both = torch.cat([table.view(-1), lines.view(torch.int64).view(-1)]).cpu().numpy()
    return both[: table.numel()].reshape(table.shape), both[table.numel() :].view(np.float64).reshape(lines.shape)
