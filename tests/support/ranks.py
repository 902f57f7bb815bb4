"""A run of two ranks over gloo, each with its own number of rollouts: ``python ranks.py RESULTS.json``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl

sys.path.insert(0, str(Path(__file__).parents[2]))

from puffer_callbacks import MemoryLogger, MetricsCallback, Rollout, RolloutCallback
from tests.support.models import Agent, losses, random_rollout

BATCHES = 24
UPDATES = (4, 10)
"""Batches from rollout to rollout, of each rank."""


def rollout(rank: int, at: int, env_steps: int) -> Rollout:
    """Rank ``rank``'s ``at``-th rollout."""
    return random_rollout(1000 * rank + at, env_steps)


class RankedAgent(Agent):
    """An agent that collects rollouts at its rank's interval, and saves what rank 0 logged."""

    def __init__(self, logger: MemoryLogger, results: Path) -> None:
        super().__init__(losses(*range(BATCHES)))
        self.results = results
        self.memory = logger

    def setup(self, stage: str) -> None:
        rank = self.global_rank
        self.updates = UPDATES[rank]
        self.make = lambda at, env_steps: rollout(rank, at, env_steps)

    def teardown(self, stage: str) -> None:
        save_series(self)


def save_series(module: Any) -> None:
    """Write what rank 0 logged."""
    if module.global_rank == 0:
        memory: MemoryLogger = module.memory
        module.results.write_text(json.dumps({tag: memory.series(tag) for tag in memory.tags}))


def fit_on_two_ranks(module: Any, callbacks: Sequence[pl.Callback], **settings: Any) -> None:
    """Fit a module that has its ``memory`` logger and the path of its ``results``."""
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp_fork",
        max_epochs=1,
        logger=module.memory,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=module.results.parent,
        use_distributed_sampler=False,
        **settings,
    )
    trainer.fit(module)


if __name__ == "__main__":
    fit_on_two_ranks(RankedAgent(MemoryLogger(), Path(sys.argv[1])), [RolloutCallback(), MetricsCallback(8)])
