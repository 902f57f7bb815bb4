"""The numbers of a tensor that this process holds, as dense tensors in pieces of bounded size."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_SMALL_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16)


class Part(NamedTuple):
    """The numbers that this process holds of a tensor.

    Attributes:
        values: a dense tensor of any shape and strides, detached.
        zeros: how many more zeros there are, as in a sparse tensor.
        needs_float64: whether the numbers may not be exact in float32.
    """

    values: Tensor
    zeros: int
    needs_float64: bool


def as_tensor(name: str, values: Any) -> Tensor:
    """A tensor as it is; an array, or a list of numbers, as a tensor that shares its memory where it can.

    Args:
        name: what to call it in an error.
        values: a tensor, or what NumPy can make an array of.

    Raises:
        TypeError: if it holds something else than numbers.

    Example:
        >>> as_tensor("returns", [1.0, 2.5])
        tensor([1.0000, 2.5000], dtype=torch.float64)
    """
    if isinstance(values, Tensor):
        return values
    try:
        array = np.asarray(values)
        kind = array.dtype.kind
    except (TypeError, ValueError):  # a ragged list, tensors of a device
        kind = "O"
    if kind not in "biufc":
        given = f"an array of {array.dtype}" if isinstance(values, np.ndarray) else type(values).__name__
        raise TypeError(f"{name}: expected a tensor or an array of numbers, got {given}")
    return torch.from_numpy(np.require(array, _known_dtype(array), ["C", "A", "W"]))


def _known_dtype(array: NDArray[Any]) -> np.dtype[Any]:
    """The dtype of an array, or where torch has no such one, the nearest that it has."""
    if array.dtype.itemsize > (16 if array.dtype.kind == "c" else 8):  # long doubles
        return np.dtype(np.complex128 if array.dtype.kind == "c" else np.float64)
    return array.dtype.newbyteorder("=")


def local_part(name: str, tensor: Tensor) -> Part:
    """The numbers of a tensor that are held, and to be counted, in this process.

    Of a ``DTensor`` that is its local shard; where it is replicated, only the first replica counts.

    Args:
        name: what to call it in an error.
        tensor: any tensor.

    Raises:
        ValueError: if it is on the meta device, quantized, a ``DTensor`` that holds partial sums, or freed.

    Example:
        >>> local_part("eye", torch.eye(3).to_sparse()).zeros
        6
    """
    if tensor.is_meta:
        raise ValueError(f"{name}: expected a tensor that holds numbers, got one on the meta device; load it first")
    if tensor.is_quantized:
        raise ValueError(f"{name}: expected real numbers, got {tensor.dtype}; call dequantize() first")
    if hasattr(tensor, "placements"):
        return local_part(name, _shard(name, tensor))
    values = _dense(tensor.detach())
    if values.numel() and not is_held(values):
        raise ValueError(f"{name}: expected a tensor that holds numbers, got one whose memory is freed; gather it")
    values = where_float64_is(values)
    is_exact = values.dtype in _SMALL_INTEGERS or (values.is_floating_point() and values.itemsize <= 4)
    return Part(values, tensor.numel() - values.numel(), needs_float64=not is_exact)


def where_float64_is(tensor: Tensor) -> Tensor:
    """The tensor where it is, or on the host where its device, as Apple's, has no float64."""
    return tensor.cpu() if tensor.device.type == "mps" else tensor


def is_held(tensor: Tensor) -> bool:
    """Whether a dense tensor has memory: a sharded model frees that of its whole parameters between uses."""
    return tensor.untyped_storage().nbytes() > 0


def _dense(tensor: Tensor) -> Tensor:
    """The values that a tensor stores, whatever its layout."""
    if tensor.is_mkldnn:
        return tensor.to_dense()
    if tensor._is_zerotensor():  # autograd's zeros, which are stored nowhere
        return torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    if tensor.is_sparse:
        tensor = tensor.coalesce()
    if tensor.is_nested:  # whose values may have gaps
        return torch.cat([tensor.values().reshape(-1)[:0], *(part.reshape(-1) for part in tensor.unbind())])
    if tensor.layout is not torch.strided:
        tensor = tensor.values()
    return tensor.resolve_neg()


def _shard(name: str, tensor: Tensor) -> Tensor:
    """The local tensor of a ``DTensor``, or nothing where another process counts the same."""
    placements, mesh = tensor.placements, tensor.device_mesh  # type: ignore[attr-defined]
    if any(placement.is_partial() for placement in placements):
        raise ValueError(f"{name}: expected shards or replicas, got {placements}; redistribute partial sums first")
    local: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    here = mesh.get_coordinate()
    counted = here is not None and all(here[i] == 0 for i, p in enumerate(placements) if p.is_replicate())
    return local if counted else local.new_empty(0)


def by_strides(tensor: Tensor) -> Tensor:
    """A dense tensor with its dimensions in the order of their strides: contiguous where there is no gap in memory."""
    if tensor.is_contiguous():
        return tensor
    return tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))


def pieces(tensor: Tensor, size: int) -> Iterator[Tensor]:
    """The elements of a tensor, in any order, as flat contiguous pieces.

    Args:
        tensor: dense, of any shape and strides.
        size: the most elements in a piece, at least 1. Nothing larger is ever copied.

    Example:
        >>> [piece.tolist() for piece in pieces(torch.arange(6).view(2, 3).t(), 4)]
        [[0, 1, 2, 3], [4, 5]]
    """
    if tensor.numel() <= size:
        yield tensor.reshape(-1).contiguous()
        return
    ordered = by_strides(tensor)
    if ordered.is_contiguous():
        yield from torch.split(ordered.view(-1), size)
        return
    longest = max(range(tensor.ndim), key=tensor.size)
    for slab in torch.split(tensor, max(1, tensor.size(longest) * size // tensor.numel()), longest):
        yield from pieces(slab, size)
