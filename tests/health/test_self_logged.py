"""A module that logs its numbers with ``self.log`` alone, under names of its own, is judged as any other."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.utils.data import DataLoader

from puffer_callbacks import HealthCallback, default_callbacks
from puffer_callbacks.runs.diagnosis import diagnose_run
from puffer_callbacks.runs.read import read_run
from tests.health.runs import FLAT, constant, found


class Scalars(pl.LightningModule):
    """Several numbers a step, by manual optimization, and no rollout."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.net, self.epsilon = nn.Linear(2, 1), epsilon
        self.automatic_optimization = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        optimizer, loss = self.optimizers(), self.net(batch).square().mean()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.log_dict({"epsilon": self.epsilon, "total_reward": 20.0 + batch_idx % 3, "q_loss": loss.detach()})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self) -> DataLoader:
        return DataLoader(torch.ones(40, 2))


def _fit(folder: Path, epsilon: float) -> HealthCallback:
    health = HealthCallback()
    callbacks = default_callbacks(metrics=1, gradients=False, histograms=False, health=health)
    logger = TensorBoardLogger(folder, name="", version="")
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, log_every_n_steps=1, logger=logger, callbacks=callbacks, **quiet
    )
    trainer.fit(Scalars(epsilon))
    return health


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("epsilon", [1.0, 0.05])
def test_its_log_is_judged_live_and_afterwards_alike(tmp_path: Path, epsilon: float) -> None:
    live = _fit(tmp_path, epsilon).diagnosis
    read = diagnose_run(read_run(tmp_path))
    for diagnosis in (live, read):
        assert {"exploration_stays", "return_stalled"} <= set(diagnosis.judged)
        named = [finding.rule for root in diagnosis.findings for finding in (root, *root.consequences)]
        assert ("exploration_stays" in named) is (epsilon == 1.0)


def test_a_tag_of_ours_comes_before_a_name_of_the_users() -> None:
    """As where the environments' returns are known, and one of a window of them is logged too."""
    assert found("return_stalled", train__reward=FLAT, total_reward=np.linspace(0, 100, 100)) is not None
    assert found("exploration_stays", train__epsilon=constant(0.01), epsilon=constant(1.0)) is None
