"""Runs over gloo that continue each other's checkpoints: ``python resumed_ranks.py FOLDER``.

``FOLDER/<name>.json`` has what rank 0 logged in each: ``whole`` runs of one and two ranks with a checkpoint at every
step, and runs that continue them on as many ranks or on others.
"""

import json
import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

sys.path.insert(0, str(Path(__file__).parents[2]))

from puffer_callbacks import (
    GradientCallback,
    Histogram,
    HistogramCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    emit,
)

STEPS = 24
CUTS = (7, 12, 13)
"""Steps at which runs are cut: intervals are open there, rollouts not yet gathered, and episodes unfinished."""


class Ranked(pl.LightningModule):
    """Collects rollouts; rewards, losses and what is not a number depend on rank and step."""

    def __init__(self, rollouts_at: Sequence[Collection[int]] = (range(0, STEPS, 4),) * 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net, self.rollouts_at = torch.nn.Linear(4, 2), rollouts_at
        self.env_steps = self.at = self.counted = 0

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        at, self.at, rank = self.at, self.at + 1, self.global_rank
        if at in self.rollouts_at[rank]:
            self.env_steps += 4 * self.trainer.world_size * (at + 4 - self.counted)
            self.counted = at + 4
            emit(self, "on_rollout_end", rollout(rank, at, self.env_steps))
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(1000 * rank + at))
        odd = math.nan if (at + rank) % 3 == 0 else float(at)
        return {"loss": self.net(inputs).square().mean(), "value": float(at + 1000 * rank), "odd": odd}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def train_dataloader(self) -> range:
        return range(STEPS)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["at"] = self.env_steps, self.at, self.counted

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.env_steps, self.at, self.counted = checkpoint["at"]


def rollout(rank: int, at: int, env_steps: int) -> Rollout:
    """Rank ``rank``'s rollout at a step; episodes go on from one to the next."""
    made = torch.Generator().manual_seed(100 * rank + at)
    rewards = torch.randint(0, 10, (8, 2), generator=made).float() + 100 * rank
    dones = torch.rand(8, 2, generator=made) < 0.1
    numbers = {name: torch.randn(8, 2, generator=made) for name in ("values", "returns", "advantages")}
    return Rollout(rewards=rewards, dones=dones, **numbers, env_steps=env_steps)


def run(name: str, folder: Path, *, ranks: int, source: str | None = None, module: Ranked | None = None) -> None:
    """A fit; with ``source`` one that continues this checkpoint, and else one that leaves some."""
    memory = MemoryLogger()
    keep = ModelCheckpoint(folder / name, filename="{step}", every_n_train_steps=1, save_top_k=-1)
    callbacks = [MetricsCallback(5), RolloutCallback(), HistogramCallback(7), GradientCallback(4)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=memory,
        callbacks=[
            Recorder(overhead_budget=1.0),
            *callbacks,
            *([] if source else [keep]),
            SaveSeries(folder / f"{name}.json"),
        ],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=source is None,
        default_root_dir=folder,
        use_distributed_sampler=False,
        devices=ranks,
        strategy="ddp_fork" if ranks > 1 else "auto",
    )
    trainer.fit(module or Ranked(), ckpt_path=source, weights_only=True)


class SaveSeries(pl.Callback):
    """Saves what rank 0 logged, histograms as their bins and counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if trainer.is_global_zero:
            tags = {tag: trainer.logger.series(tag) for tag in trainer.logger.tags}
            plain = {tag: [(x, _plain(value)) for x, value in points] for tag, points in tags.items()}
            self.path.write_text(json.dumps(plain))


def _plain(value: Any) -> Any:
    return [value.bins.tolist(), value.bin_counts.tolist()] if isinstance(value, Histogram) else value


def main(folder: Path) -> None:
    """All of them."""
    run("whole", folder, ranks=2)
    run("alone", folder, ranks=1)
    for step in CUTS:
        run(f"two_to_two_{step}", folder, ranks=2, source=str(folder / "whole" / f"step={step}.ckpt"))
        run(f"one_to_two_{step}", folder, ranks=2, source=str(folder / "alone" / f"step={step}.ckpt"))
        run(f"two_to_one_{step}", folder, ranks=1, source=str(folder / "whole" / f"step={step}.ckpt"))
    run("ragged", folder, ranks=2, module=Ranked([{0, 1, 9, 18}, {0, 1, 11}]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
