"""A run of two ranks over gloo whose module logs with ``self.log``: ``python self_log_ranks.py RESULTS.json``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from torchmetrics import MeanMetric

sys.path.insert(0, str(Path(__file__).parents[2]))

from puffer_callbacks import MemoryLogger, MetricsCallback
from tests.support.models import Supervised, losses
from tests.support.ranks import fit_on_two_ranks, save_series

BATCHES = 20
VALUES = np.random.default_rng(0).normal(size=(2, BATCHES))
"""Of each rank and step."""


class Ranked(Supervised):
    """Logs each rank's values, and saves what rank 0 logged."""

    def __init__(self, logger: MemoryLogger, results: Path) -> None:
        super().__init__(losses(*range(BATCHES)))
        self.memory, self.results, self.mean = logger, results, MeanMetric()

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        value = float(VALUES[self.global_rank, batch_idx])
        self.log("local", value)
        self.log("synchronized", value, sync_dist=True)
        self.mean.update(value)
        return {**super().training_step(batch, batch_idx), "mean": self.mean}

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("validated", float(self.global_rank), sync_dist=True, batch_size=1)

    def val_dataloader(self) -> range:
        return range(2)

    def teardown(self, stage: str) -> None:
        save_series(self)


if __name__ == "__main__":
    fit_on_two_ranks(Ranked(MemoryLogger(), Path(sys.argv[1])), [MetricsCallback(8)], log_every_n_steps=5)
