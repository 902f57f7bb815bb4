"""What ranks tell each other, such that no process waits for ever at its end."""

import json
from collections import deque
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Gloo's thread gives a collective's tensors back under the interpreter's lock. A process group whose destructor
# runs with that lock waits for the thread for ever; so the thread must not be the last to hold them.
_held: deque[Any] = deque(maxlen=16)


def all_reduce(value: Tensor, group: "dist.ProcessGroup | None" = None) -> Tensor:
    """The sum over ranks, on the tensor's own device; a backend that needs it elsewhere is served.

    Args:
        value: a tensor of one shape and dtype on every rank.
        group: the processes, all by default.
    """
    summed = _where_it_can_be(value, group)
    _wait(dist.all_reduce(summed, group=group, async_op=True))
    return summed.to(value.device)


def gather(value: Tensor, group: "dist.ProcessGroup | None" = None) -> list[Tensor]:
    """Every rank's tensor, in the order of ranks, on every rank.

    Args:
        value: [n]; n may differ between ranks, the dtype may not.
        group: the processes, all by default.
    """
    sizes = [int(each) for each in gather_alike(torch.tensor([len(value)]), group)]
    padded = torch.cat([value, value.new_zeros(max(sizes) - len(value))])
    return [each[:size] for each, size in zip(gather_alike(padded, group), sizes, strict=True)]


def gather_alike(value: Tensor, group: "dist.ProcessGroup | None" = None) -> list[Tensor]:
    """The same for tensors of one shape and dtype on every rank, by one collective.

    Args:
        value: of any shape.
        group: the processes, all by default.
    """
    local = _where_it_can_be(value, group)
    gathered = [torch.empty_like(local) for _ in range(dist.get_world_size(group))]
    _wait(dist.all_gather(gathered, local, group=group, async_op=True))
    return [each.to(value.device) for each in gathered]


def gather_json(value: Any) -> list[Any]:
    """What every rank says, in the order of ranks, on every rank. Nothing is pickled.

    Args:
        value: what JSON can hold.
    """
    told = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8)
    return [json.loads(bytes(each.tolist())) for each in gather(told)]


def _wait(work: Any) -> None:
    work.wait()
    _held.append(work)


def _where_it_can_be(value: Tensor, group: "dist.ProcessGroup | None") -> Tensor:
    """A copy: to sum in place is not to change what was given."""
    return value.to("cuda" if "nccl" in dist.get_backend(group) else value.device, copy=True)
