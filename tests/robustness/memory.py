"""Whether memory stays flat, with every callback on: ``python -m tests.robustness.memory --steps 200000``."""

import argparse
import gc
import json
import logging
import os
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor, nn

from puffer_callbacks import (
    AttentionCallback,
    ImageCallback,
    Recorder,
    Rollout,
    VideoCallback,
    default_callbacks,
    emit,
    log,
)
from tests.support.models import random_rollout
from tests.support.worlds import Dot

GROWTH = 0.05
"""The most that memory may grow after the warm-up."""
WARM_UP = 0.2
"""The share of the steps after which caches are full."""


class Tiny(pl.LightningModule):
    """A small policy over frames and words, with a rollout every eighth step."""

    def __init__(self) -> None:
        super().__init__()
        self.save_hyperparameters({"gamma": 0.99})
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.layer = nn.Linear(4, 2)
        self.env_steps = 0

    def forward(self, batch: Tensor) -> Tensor:
        mixed, _ = self.attention(batch, batch, batch)
        return self.layer(mixed.mean(1))

    def training_step(self, batch: Tensor, batch_idx: int) -> dict[str, Any]:
        if batch_idx % 8 == 0:
            emit(self, "on_rollout_end", self._rollout(batch_idx))
        if batch_idx % 100 == 0:
            log(self, {"own/number": float(batch_idx)})
        loss = self(batch).square().mean()
        return {"loss": loss, "policy_loss": loss.detach(), "deep": {"er": torch.tensor(1.0), "float": 0.5}}

    def _rollout(self, at: int) -> Rollout:
        frames = torch.full((8, 2, 1, 8, 8), at % 256, dtype=torch.uint8)
        rollout = random_rollout(at, self.env_steps, observations=frames)
        self.env_steps = rollout.env_steps
        return rollout

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Batches(torch.utils.data.IterableDataset[Tensor]):
    """One batch again and again."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __iter__(self) -> Any:
        batch = torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(0))
        return iter([batch] * self.steps)


class Samples(pl.Callback):
    """Measures now and then."""

    def __init__(self, measure: Callable[[], int], every: int) -> None:
        self.measure, self.every = measure, every
        self.found: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (batch_idx + 1) % self.every == 0:
            gc.collect()
            self.found.append(self.measure())


def callbacks() -> list[pl.Callback]:
    """All of them, with intervals so short that much happens, and no budget that would widen them."""
    pictures = [ImageCallback(50), AttentionCallback(400), VideoCallback(lambda: Dot(3), every_n_rollouts=100)]
    return [Recorder(overhead_budget=1.0), *default_callbacks(metrics=50, histograms=100, gradients=50), *pictures]


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def traced() -> int:
    """Bytes that Python's objects take."""
    return tracemalloc.get_traced_memory()[0]


def train(steps: int, folder: Path, measure: Callable[[], int], *, samples: int = 20) -> list[int]:
    """Memory at so many points of a run."""
    watch = Samples(measure, max(1, steps // samples))
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=[TensorBoardLogger(folder, name="", version="tb"), CSVLogger(folder, name="", version="csv")],
        callbacks=[*callbacks(), watch],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
    )
    trainer.fit(Tiny(), torch.utils.data.DataLoader(Batches(steps), batch_size=None))
    return watch.found


def growth(found: Sequence[int]) -> float:
    """From the median of the first quarter after the warm-up to that of the last, as a share."""
    flat = found[int(WARM_UP * len(found)) :]
    quarter = max(1, len(flat) // 4)
    return median(flat[-quarter:]) / median(flat[:quarter]) - 1


def main(argv: Sequence[str] | None = None) -> int:
    """0 if memory is flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000)
    options = parser.parse_args(argv)
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = train(options.steps, Path(folder), resident)
    grown = growth(found)
    mebibytes = [round(each / 2**20, 1) for each in found]
    print(json.dumps({"steps": options.steps, "MiB": mebibytes, "growth": round(grown, 4)}))
    return int(grown > GROWTH)


if __name__ == "__main__":
    sys.exit(main())
