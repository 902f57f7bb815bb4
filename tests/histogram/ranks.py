"""One of two processes that hold a model in shards: run by ``test_over_ranks.py``."""

import os
import sys
import warnings
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from puffer_callbacks.histogram.over_ranks import histograms_over_ranks
from puffer_callbacks.values.checkpointing import to_state


def model() -> nn.Module:
    """The same on every rank, with one parameter that two ranks cannot share, and a denormal."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(33, 130), nn.Tanh(), nn.Linear(130, 1))
    net[0].bias.data[0] = 1e-42
    return net


def batch() -> Tensor:
    """Eight examples, the same on every rank."""
    return torch.randn(8, 33, generator=torch.Generator().manual_seed(1))


def plain() -> dict[str, Tensor]:
    """Weights and gradients of the whole model on one process."""
    net = model()
    net(batch()).square().mean().backward()
    return weights(net) | gradients(net)


def weights(net: nn.Module) -> dict[str, Tensor]:
    """Parameters by name."""
    return {f"weights/{name.removeprefix('module.')}": p for name, p in net.named_parameters()}


def gradients(net: nn.Module) -> dict[str, Tensor]:
    """Gradients by name."""
    return {f"gradients/{n.removeprefix('module.')}": p.grad for n, p in net.named_parameters() if p.grad is not None}


def mesh() -> DeviceMesh:
    """Both processes in a row."""
    return init_device_mesh("cpu", (2,))


def distributed(rank: int) -> dict[str, dict[str, Tensor]]:
    """The tensors of this rank."""
    sharded, data_parallel = model(), DistributedDataParallel(model())
    fully_shard(sharded, mesh=mesh())
    for net in (sharded, data_parallel):
        net(batch()[4 * rank : 4 * rank + 4]).square().mean().backward()
    matrix = torch.arange(35.0).view(5, 7).double()
    return {
        "fsdp": weights(sharded) | gradients(sharded),
        "ddp": weights(data_parallel) | gradients(data_parallel),
        "placed": {
            "columns": distribute_tensor(matrix, mesh(), [Shard(1)]),
            "replicas": distribute_tensor(matrix, mesh(), [Replicate()]),
        },
        "own": {"returns": torch.full((rank + 1,), float(rank)), "odd": torch.full((2,), float("nan"))},
    }


def main(rank: int, folder: Path) -> None:
    """Count over both ranks and save the result to a file."""
    warnings.simplefilter("ignore")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    found = {
        name: histograms_over_ranks(tensors, replicated=name != "own") for name, tensors in distributed(rank).items()
    }
    try:
        histograms_over_ranks({"sums": DTensor.from_local(torch.ones(2), mesh(), [Partial()])}, replicated=True)
    except ValueError as error:
        (folder / f"{rank}.txt").write_text(str(error))
    packed = {case: {name: to_state(value) for name, value in each.items()} for case, each in found.items()}
    torch.save(packed, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]), Path(sys.argv[2]))
