"""Real fits with one of Lightning's own callbacks, with and without all of ours, and what those should log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from puffer_callbacks import MemoryLogger, Rollout, default_callbacks, emit

INTERVAL = 4
"""Optimizer steps of our interval, and batches of a rollout."""
ENV_STEPS = 16
"""Of a rollout."""
BATCHES = 8
"""Batches of an epoch."""
BATCH_SIZE = 4
EPOCHS = 4


class Learner(pl.LightningModule):
    """Learns a regression, with a rollout of known returns every ``INTERVAL`` batches; keeps its own numbers."""

    def __init__(self, returns: Sequence[float] = (), *, lr: float = 0.05, batch_size: int = BATCH_SIZE) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.head = nn.Linear(8, 1)
        self.lr, self.batch_size = lr, batch_size
        self.env_steps, self.returns, self.flops_per_batch = 0, list(returns), 1000
        self.rollouts = 0
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.norms: list[float] = []

    def forward(self, inputs: Tensor) -> Any:
        return self.head(self.backbone(inputs))

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:
        if batch_idx % INTERVAL == 0:
            self._collect()
        inputs, targets = batch
        loss = (self(inputs) - targets).square().mean()
        self.losses.append(loss.item())
        return {"loss": loss}

    def _collect(self) -> None:
        drawn = torch.rand(8, 2, 4, generator=torch.Generator().manual_seed(self.rollouts))
        returns = self.returns[self.rollouts] if self.rollouts < len(self.returns) else float(self.rollouts)
        self.env_steps += ENV_STEPS
        self.rollouts += 1
        episodes = torch.tensor([returns - 1.0, returns + 1.0])
        rollout = Rollout(observations=drawn, episode_returns=episodes, env_steps=self.env_steps)
        emit(self, "on_rollout_end", rollout)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad.double().numpy().ravel() for p in self.parameters() if p.grad is not None]
        self.norms.append(float(np.linalg.norm(np.concatenate(gradients))))
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["collected"] = self.env_steps, self.rollouts

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.env_steps, self.rollouts = checkpoint["collected"]

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD([p for p in self.parameters() if p.requires_grad], lr=self.lr, momentum=0.9)

    def train_dataloader(self) -> DataLoader[Any]:
        inputs = torch.randn(BATCH_SIZE * BATCHES, 4, generator=torch.Generator().manual_seed(1))
        return DataLoader(TensorDataset(inputs, inputs.sum(1, keepdim=True)), batch_size=self.batch_size)


def ours() -> list[pl.Callback]:
    """All that need no further package, and fire in a short fit."""
    return default_callbacks(metrics=INTERVAL, gradients=INTERVAL, histograms=INTERVAL, images=1, plasticity=INTERVAL)


@dataclass
class Fit:
    """A fit that is over."""

    trainer: pl.Trainer
    module: Learner
    stock: Any
    logger: MemoryLogger

    def weights(self) -> list[Tensor]:
        return [parameter.detach() for parameter in self.module.parameters()]


def fit(
    folder: Path,
    stock: Callable[[], Any] | None,
    *,
    with_ours: bool,
    make: Callable[[], Learner] = Learner,
    ckpt_path: str | Path | None = None,
    **arguments: Any,
) -> Fit:
    """Train a fresh module with a fresh stock callback, with or without ours."""
    torch.manual_seed(7)
    module, logger = make(), MemoryLogger()
    callback = stock() if stock is not None else None
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": EPOCHS,
        "default_root_dir": folder,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
        "log_every_n_steps": 1,
    }
    callbacks = [*([callback] if isinstance(callback, pl.Callback) else []), *(ours() if with_ours else [])]
    trainer = pl.Trainer(**{**quiet, **arguments}, logger=logger, callbacks=callbacks)
    trainer.fit(module, ckpt_path=ckpt_path)
    return Fit(trainer, module, callback, logger)


def both(folder: Path, stock: Callable[[], Any] | None, **arguments: Any) -> tuple[Fit, Fit]:
    """A fit with ours and one without; their outcome is the same to the bit."""
    one = fit(folder / "with", stock, with_ours=True, **arguments)
    other = fit(folder / "without", stock, with_ours=False, **arguments)
    assert one.trainer.global_step == other.trainer.global_step > 0
    assert one.module.losses == other.module.losses
    assert all(torch.equal(a, b) for a, b in zip(one.weights(), other.weights(), strict=True))
    return one, other


def check(found: Fit, *, losses: Sequence[float] | None = None) -> None:
    """What ours logged is what the module kept: means of intervals, norms of the steps that end them, returns."""
    module = found.module
    own = losses if losses is not None else module.losses
    rows = [ENV_STEPS * (at + 1) for at in range(len(own) // INTERVAL)]
    np.testing.assert_allclose(points(found, "train/loss"), list(zip(rows, means(own), strict=True)), rtol=1e-6)
    rates, norms = module.rates[-len(own) :], module.norms[-len(own) :]
    np.testing.assert_allclose(points(found, "train/learning_rate"), list(zip(rows, means(rates), strict=True)))
    np.testing.assert_allclose(
        points(found, "gradient_norm/total"), list(zip(rows, norms[INTERVAL - 1 :: INTERVAL], strict=True)), rtol=1e-5
    )
    check_returns(found, rows)
    final = {name: parameter.numel() for name, parameter in module.named_parameters()}
    assert {name: found.logger.series(f"weights/{name}")[-1][1].count for name in final} == final


def check_returns(found: Fit, rows: Sequence[int]) -> None:
    """Each rollout is a point of its own."""
    expected = [found.module.returns[at] if at < len(found.module.returns) else float(at) for at in range(len(rows))]
    assert points(found, "train/reward") == list(zip(rows, expected, strict=True))
    assert [step for step, _ in found.logger.series("observations")] == list(rows)


def points(found: Fit, tag: str) -> list[tuple[int, float]]:
    return found.logger.series(tag)


def means(numbers: Sequence[float], *, size: int = INTERVAL) -> list[float]:
    """The means of whole intervals, by NumPy."""
    return np.array(numbers[: len(numbers) // size * size]).reshape(-1, size).mean(axis=1).tolist()
