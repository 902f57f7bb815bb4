"""Collectives between the processes of a run, safe to destroy at the end of a process."""

import json
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Gloo's thread takes the interpreter's lock to release a collective's tensors, and a process group's destructor
# waits for that thread while it holds the lock. So the last reference to the tensors is kept here.
_recent: deque[Any] = deque(maxlen=16)


def all_reduce(value: Tensor) -> Tensor:
    """The sum over ranks, on the tensor's own device; NCCL gets a copy on the GPU.

    Args:
        value: a tensor of the same shape and dtype on every rank; it is not changed.
    """
    summed = _copy_for_backend(value)
    _wait(dist.all_reduce(summed, async_op=True))
    return summed.to(value.device)


def gather_alike(value: Tensor) -> list[Tensor]:
    """The tensors of all ranks where shape and dtype are equal, by one collective.

    Args:
        value: of any shape.
    """
    local = _copy_for_backend(value)
    gathered = [torch.empty_like(local) for _ in range(dist.get_world_size())]
    _wait(dist.all_gather(gathered, local, async_op=True))
    return [each.to(value.device) for each in gathered]


def gather_json(value: Any) -> list[Any] | None:
    """The objects of all ranks, in the order of ranks, on rank 0; ``None`` on the others. Nothing is pickled.

    Args:
        value: any object that JSON can encode.
    """
    encoded = _encode(value)
    sizes = [int(each) for each in gather_alike(torch.tensor([len(encoded)]))]
    local = _copy_for_backend(torch.cat([encoded, encoded.new_zeros(max(sizes) - len(encoded))]))
    gathered = [torch.empty_like(local) for _ in sizes] if dist.get_rank() == 0 else None
    _wait(dist.gather(local, gathered, dst=0, async_op=True))
    return None if gathered is None else [_decode(each[:size]) for each, size in zip(gathered, sizes, strict=True)]


def broadcast_json(value: Any) -> Any:
    """Rank 0's object, on every rank.

    Args:
        value: any object that JSON can encode; what other ranks pass is not used.
    """
    encoded = _encode(value if dist.get_rank() == 0 else None)
    size = _broadcast(torch.tensor([len(encoded)]))
    payload = encoded if dist.get_rank() == 0 else encoded.new_zeros(int(size))
    return _decode(_broadcast(payload))


def _broadcast(value: Tensor) -> Tensor:
    local = _copy_for_backend(value)
    _wait(dist.broadcast(local, src=0, async_op=True))
    return local


def _encode(value: Any) -> Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _decode(encoded: Tensor) -> Any:
    return json.loads(encoded.cpu().numpy().tobytes())


def _wait(work: Any) -> None:
    work.wait()
    _recent.append(work)


def _copy_for_backend(value: Tensor) -> Tensor:
    """A copy on a device that the backend can reach; collectives work in place."""
    return value.to("cuda" if "nccl" in dist.get_backend() else value.device, copy=True)
