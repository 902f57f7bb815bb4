"""Runs on two real processes over gloo: ``python -m tests.robustness.ranks {ddp,fork} FOLDER``."""

import os
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from puffer_callbacks import (
    AttentionCallback,
    GradientCallback,
    HistogramCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    VideoCallback,
)
from puffer_callbacks.adapters import Loop
from puffer_callbacks.overhead import budget
from puffer_callbacks.values.checkpointing import to_state
from tests.support.models import Agent, losses, random_rollout
from tests.support.warned import warned

WORLD = 2
BATCHES = 40
ENV_STEPS = 16
"""Of a rollout of one rank."""
UPDATES = {"even": (16, 16), "unfinished": (16, 16), "none": (16, None), "uneven": (5, 7)}
"""Batches from rollout to rollout of each rank, if it has any."""
UNFINISHED: dict[str, Any] = {"episode_returns": None, "episode_lengths": None, "infos": {}}


def rollout(scenario: str, rank: int, at: int, env_steps: int) -> Rollout:
    """A rank's rollout, of whole numbers: their sums are exact in whatever order."""
    drawn = random_rollout(1000 * rank + at, 0)
    names = ("rewards", "values", "returns", "advantages", "episode_returns")
    rounded = {name: (getattr(drawn, name) * 10).round() for name in names}
    infos = {name: (value * 10).round() for name, value in drawn.infos.items()}
    episodes = UNFINISHED if scenario == "unfinished" and rank == 1 else {}
    return replace(drawn, **{**rounded, "infos": infos, "env_steps": env_steps + WORLD * ENV_STEPS, **episodes})


def together(rollouts: list[Rollout]) -> Rollout:
    """What one process would have collected, with the environments of all of them."""
    ended = [each for each in rollouts if each.episode_returns is not None]
    steps = ("observations", "actions", "rewards", "dones", "values", "returns", "advantages")
    episodes = ("episode_returns", "episode_lengths")
    fields: dict[str, Any] = {name: torch.cat([getattr(each, name) for each in rollouts], 1) for name in steps}
    fields |= {name: torch.cat([getattr(each, name) for each in ended]) for name in episodes}
    fields["infos"] = {name: torch.cat([each.infos[name] for each in ended]) for name in ended[0].infos}
    return Rollout(**fields, env_steps=rollouts[0].env_steps)


class Ranked(Agent):
    """Collects at its rank's pace."""

    def __init__(self, scenario: str) -> None:
        super().__init__(losses(*range(BATCHES)))
        self.scenario = scenario

    def setup(self, stage: str) -> None:
        self.updates = UPDATES[self.scenario][self.global_rank]
        self.make = lambda at, env_steps: rollout(self.scenario, self.global_rank, at, env_steps)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        collects = super() if self.updates else super(Agent, self)
        outputs = collects.training_step(batch, batch_idx)
        scaled = (self.global_rank + 1.0) * sum(parameter.sum() for parameter in self.layer.parameters())
        own = {f"only_{self.global_rank}": float(batch_idx), "rank": float(self.global_rank)}
        return outputs | own | {"loss": outputs["loss"] + scaled}


class Leaves(pl.Callback):
    """Leaves what rank 0 logged, and its final weights."""

    def __init__(self, memory: MemoryLogger, path: Path) -> None:
        self.memory, self.path = memory, path

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = {tag: value.item() for tag, value in trainer.callback_metrics.items()}
        self.monitored: list[Any] = [None] * WORLD
        dist.all_gather_object(self.monitored, metrics)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if trainer.is_global_zero:
            leave(self.memory, self.path, monitored=self.monitored)


def leave(memory: MemoryLogger, path: Path, **more: Any) -> None:
    """Every series, in a file that is read without unpickling."""
    packed = {tag: [(step, to_state(value)) for step, value in memory.series(tag)] for tag in memory.tags}
    torch.save({"series": packed, **more}, path)


def callbacks() -> list[pl.Callback]:
    return [Recorder(overhead_budget=1.0), MetricsCallback(4), RolloutCallback(), HistogramCallback(8)]


def fit(scenario: str, folder: Path, *, strategy: str = "ddp_fork", loggers: tuple[Logger, ...] = ()) -> None:
    """Train on two processes."""
    memory = MemoryLogger()
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=WORLD,
        strategy=strategy,
        max_epochs=1,
        logger=[memory, *loggers],
        callbacks=[*callbacks(), Leaves(memory, folder / f"{scenario}.pt")],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        use_distributed_sampler=False,
    )
    trainer.fit(Ranked(scenario))


def ddp(folder: Path) -> None:
    """As a script does it; each process would write to a folder of its own."""
    own = folder / f"rank{os.environ.get('LOCAL_RANK', '0')}"
    files = TensorBoardLogger(own, name="", version="tensorboard"), CSVLogger(own, name="", version="csv")
    fit("even", folder, strategy="ddp", loggers=files)


def model() -> nn.Module:
    """The same on every rank; two ranks cannot share its parameters evenly."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(33, 131), nn.Tanh(), nn.Linear(131, 1))


def inputs() -> Tensor:
    return torch.randn(8, 33, generator=torch.Generator().manual_seed(1))


def sharded(rank: int, folder: Path) -> None:
    """FSDP2 in a loop; only rank 0 finds that recording costs too much."""
    budget.WINDOW_SECONDS = 0.0
    share = 1e-9 if rank == 0 else 1.0
    memory, net = MemoryLogger(), model()
    fully_shard(net, mesh=init_device_mesh("cpu", (WORLD,)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    forward_passes = [AttentionCallback(2, probe=inputs()), VideoCallback("CartPole-v1", every_n_rollouts=2)]
    watching = [Recorder(overhead_budget=share), HistogramCallback(1, activations=True), GradientCallback(2)]
    with warned() as reported, Loop([memory], [*watching, RolloutCallback(), *forward_passes]) as loop:
        loop.fit_start(net, {})
        for at in range(6):
            loop.rollout_end(replace(rollout("even", rank, at, 0), observations=None, env_steps=0))
            optimizer.zero_grad()
            net(inputs()[4 * rank : 4 * rank + 4]).square().mean().backward()
            optimizer.step()
            loop.step({}, batch=inputs())
    if rank == 0:
        leave(memory, folder / "sharded.pt", reported=reported)


def forked(rank: int, body: Callable[[int, Path], None], folder: Path) -> None:
    """One of two processes that meet over gloo, and do not wait for each other for ever."""
    patience = timedelta(seconds=60)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=WORLD, timeout=patience
    )
    body(rank, folder)
    dist.destroy_process_group()


def main(how: str, folder: Path) -> None:
    """Every scenario of a kind."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    if how == "ddp":
        ddp(folder)
        return
    for scenario in UPDATES:
        if scenario != "even":
            fit(scenario, folder)
    torch.multiprocessing.start_processes(forked, (sharded, folder), nprocs=WORLD, start_method="fork")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
