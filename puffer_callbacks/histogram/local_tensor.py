"""What a tensor holds here, as plain real numbers in pieces of bounded size."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

_SMALL_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16)


class Part(NamedTuple):
    """The numbers that one process holds of a tensor.

    Attributes:
        values: a dense tensor of any shape and strides, detached.
        zeros: how many more zeros there are, as in a sparse tensor.
        wide: whether the numbers may not be exact in float32.
    """

    values: Tensor
    zeros: int
    wide: bool


def local_part(name: str, tensor: Tensor) -> Part:
    """The numbers of a tensor that are held, and to be counted, in this process.

    Of a ``DTensor`` that is its local shard; where it is replicated, only the first replica counts.

    Args:
        name: what to call it in an error.
        tensor: any tensor.

    Raises:
        TypeError: if it is no tensor.
        ValueError: if it is on the meta device, quantized, a ``DTensor`` that holds partial sums, or freed.

    Example:
        >>> local_part("eye", torch.eye(3).to_sparse()).zeros
        6
    """
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(tensor).__name__}")
    if tensor.is_meta:
        raise ValueError(f"{name}: expected a tensor that holds numbers, got one on the meta device; load it first")
    if tensor.is_quantized:
        raise ValueError(f"{name}: expected real numbers, got {tensor.dtype}; call dequantize() first")
    if hasattr(tensor, "placements"):
        return local_part(name, _shard(name, tensor))
    values = _dense(tensor.detach())
    if values.numel() and not is_held(values):
        raise ValueError(f"{name}: expected a tensor that holds numbers, got one whose memory is freed; gather it")
    wide = not values.is_floating_point() or values.itemsize > 4
    return Part(values, tensor.numel() - values.numel(), wide and values.dtype not in _SMALL_INTEGERS)


def is_held(tensor: Tensor) -> bool:
    """Whether a dense tensor has memory: a sharded model frees that of its whole parameters between uses."""
    return tensor.untyped_storage().nbytes() > 0


def lies_on_host(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor can be read where it lies in the host's memory, by its strides."""
    return (
        type(tensor) in (Parameter, Tensor)
        and tensor.is_cpu
        and tensor.layout is torch.strided
        and tensor.numel() > 0
        and is_held(tensor)
        and not tensor.is_neg()
        and not tensor._is_zerotensor()
    )


def _dense(tensor: Tensor) -> Tensor:
    """The values that a tensor stores, whatever its layout."""
    if tensor.is_mkldnn:
        return tensor.to_dense()
    if tensor._is_zerotensor():  # autograd's zeros, which are stored nowhere
        return torch.empty(0, dtype=tensor.dtype, device=tensor.device)
    if tensor.is_sparse:
        tensor = tensor.coalesce()
    if tensor.layout is not torch.strided or tensor.is_nested:
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
    ordered = tensor
    if not tensor.is_contiguous():
        ordered = tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))
    if ordered.is_contiguous():
        yield from torch.split(ordered.view(-1), size)
        return
    longest = max(range(tensor.ndim), key=tensor.size)
    for slab in torch.split(tensor, max(1, tensor.size(longest) * size // tensor.numel()), longest):
        yield from pieces(slab, size)
