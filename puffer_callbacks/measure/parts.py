"""What a tensor holds here, as plain real numbers in pieces of bounded size."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_SMALL_INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16)


@dataclass(frozen=True)
class Part:
    """The numbers that one process holds of a tensor.

    Args:
        values: a dense tensor of any shape and strides, detached.
        zeros: how many more zeros there are, as in a sparse tensor.
        wide: whether the numbers need float64.
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
        ValueError: if it is on the meta device, quantized, or a ``DTensor`` that holds partial sums.

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
    if hasattr(tensor, "to_local") and hasattr(tensor, "placements"):
        return local_part(name, _shard(name, tensor))
    values, zeros = tensor.detach(), 0
    if values.layout is torch.sparse_coo:
        values = values.coalesce()
    if values.layout is not torch.strided:
        values = values.values() if hasattr(values, "values") and values.layout is not torch._mkldnn else values.to_dense()
        zeros = tensor.numel() - values.numel()
    wide = not (values.is_floating_point() and values.itemsize <= 4) and values.dtype not in _SMALL_INTEGERS
    return Part(values.resolve_neg(), zeros, wide)


def _shard(name: str, tensor: Tensor) -> Tensor:
    """The local tensor of a ``DTensor``, without elements where another process counts the same."""
    placements, mesh = tensor.placements, tensor.device_mesh  # type: ignore[attr-defined]
    if any(placement.is_partial() for placement in placements):
        raise ValueError(f"{name}: expected shards or replicas, got {placements}; redistribute the partial sums first")
    local: Tensor = tensor.to_local()  # type: ignore[attr-defined]
    here = mesh.get_coordinate()
    counts = here is not None and all(here[i] == 0 for i, p in enumerate(placements) if p.is_replicate())
    return local if counts else local.new_empty(0)


def pieces(tensor: Tensor, size: int) -> Iterator[Tensor]:
    """The elements of a tensor, in any order, as flat contiguous pieces.

    Args:
        tensor: dense, of any shape and strides.
        size: the most elements in a piece, at least 1. Nothing larger is ever copied.

    Example:
        >>> [piece.tolist() for piece in pieces(torch.arange(6).view(2, 3).t(), 4)]
        [[0, 1, 2, 3], [4, 5]]
    """
    if tensor.numel() == 0:
        return
    ordered = tensor.permute(sorted(range(tensor.ndim), key=tensor.stride, reverse=True))
    if ordered.is_contiguous() or tensor.numel() <= size:
        yield from ordered.reshape(-1).split(size)
        return
    longest = max(range(tensor.ndim), key=tensor.size)
    for slab in tensor.split(max(1, tensor.size(longest) * size // tensor.numel()), longest):
        yield from pieces(slab, size)
