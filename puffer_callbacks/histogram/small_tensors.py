"""Small tensors on the host, counted together: what costs here is the number of operations, not of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.histogram.count_table import Totals, histograms
from puffer_callbacks.histogram.histogram import Histogram
from puffer_callbacks.histogram.kernels import CHUNK, SMALL, Float32Counter
from puffer_callbacks.histogram.local_tensor import lies_on_host

_EXACT = {torch.float16, torch.bfloat16, torch.bool, torch.uint8, torch.int8, torch.int16}
"""What float32 holds exactly, beside itself."""

_MOST = 512
"""Tensors in one batch: that bounds the memory of their counts."""

_LOWEST, _HIGHEST = -44, 20
"""The octaves that are counted here, a quarter of those of float32; few numbers of a network lie outside."""

_FIRST = 8 * (_LOWEST + 127)
_HALF = 8 * (_HIGHEST - _LOWEST)
_PLACES = 2 * _HALF
"""The top bits, sign aside, that share a place with zero, and the places for each sign and in a row."""


def sketch_on_host(tensors: Mapping[str, Tensor]) -> dict[str, Histogram | None]:
    """The histograms of the tensors that are small and plain.

    Returns:
        Name to histogram; ``None`` where some values are out of range, denormals or not finite.
    """
    found: dict[str, Histogram | None] = {}
    for batch in _batches(tensors):
        found.update(zip(batch, _count(list(batch.values())), strict=True))
    return found


def _batches(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What is small and plain, as NumPy sees it, no more than a chunk together."""
    batch: dict[str, NDArray[np.float32]] = {}
    held = 0
    for name, tensor in tensors.items():
        array = _plain(tensor)
        if array is None:
            continue
        if held + array.size > CHUNK or len(batch) == _MOST:
            yield batch
            batch, held = {}, 0
        batch[name] = array
        held += array.size
    if batch:
        yield batch


def _plain(tensor: Tensor) -> NDArray[np.float32] | None:
    if not lies_on_host(tensor) or tensor.numel() > SMALL:
        return None
    values = tensor.detach()
    if values.dtype is not torch.float32:
        if values.dtype not in _EXACT:
            return None
        values = values.float()
    try:
        array: NDArray[np.float32] = values.numpy()
    except (TypeError, RuntimeError):  # it does not hold its elements one by one
        return None
    return array


def _count(arrays: Sequence[NDArray[np.float32]]) -> list[Histogram | None]:
    starts, rows = _layout(tuple([array.size for array in arrays]))
    flat = np.concatenate(arrays, axis=None)
    places = _places().take(flat.view(np.uint32) >> 20)
    places += rows
    table = np.bincount(places, minlength=len(arrays) * _PLACES).reshape(-1, _PLACES)
    totals, limit = _totals(flat, starts), 2.0**_HIGHEST
    tiny = table[:, _HALF].tolist()
    zeros = np.add.reduceat(flat == 0, starts, dtype=np.int64).tolist() if any(tiny) else tiny
    kept = [
        line if least == zero and -limit < line[0] and line[1] < limit else None
        for line, least, zero in zip(totals, tiny, zeros, strict=True)
    ]
    return histograms(table, kept, first_bin=Float32Counter.first_bin + _FIRST)


@cache
def _places() -> NDArray[np.uint32]:
    """The place of a number in its row by its top bits, in the order of the values; that of zero is ``_HALF``."""
    above = np.clip(np.arange(1 << 11) - _FIRST, 0, _HALF - 1)
    below = np.where(above == 0, 0, -1 - above)
    return (_HALF + np.concatenate([above, below])).astype(np.uint32)


@lru_cache(maxsize=8)
def _layout(sizes: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Where each tensor starts, and for each number where the row of its tensor does; a model's stay the same."""
    starts = np.cumsum((0, *sizes[:-1]))
    return starts, np.repeat(np.arange(0, len(sizes) * _PLACES, _PLACES, dtype=np.uint32), sizes)


def _totals(flat: NDArray[np.float32], starts: NDArray[np.int64]) -> Iterator[Totals]:
    """Minimum, maximum, sum and sum of squares of each tensor."""
    with np.errstate(invalid="ignore"):
        lows, highs = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
        double = flat.astype(np.float64)
        sums = np.add.reduceat(double, starts)
        double *= double
        squares = np.add.reduceat(double, starts)
    return zip(lows.tolist(), highs.tolist(), sums.tolist(), squares.tolist(), strict=True)
