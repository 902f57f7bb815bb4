"""A small network that learns, with everything it did kept for comparison."""

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn


class Regression(pl.LightningModule):
    """Fits a fixed batch; keeps the gradients as backward left them and the weights after each step."""

    def __init__(self, *, steps: int = 20, lr: float = 0.05, compiled: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        net: Any = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        self.net = torch.compile(net, backend="eager") if compiled else net
        self.inputs = torch.randn(steps, 8, 3, generator=generator)
        self.lr = lr
        self.raw_gradients: list[dict[str, Tensor]] = []
        self.clipped_gradients: list[dict[str, Tensor]] = []
        self.weights: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self._keep(self.weights, {name: p.data for name, p in self.named_parameters()})
        loss: Tensor = (self.net(batch).squeeze(-1) - batch.sum(-1)).square().mean()
        return loss

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self._keep(self.raw_gradients, self._gradients())

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._keep(self.clipped_gradients, self._gradients())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> Any:
        return torch.utils.data.DataLoader(self.inputs, batch_size=None)

    def _gradients(self) -> dict[str, Tensor]:
        return {name: p.grad for name, p in self.named_parameters() if p.grad is not None}

    @staticmethod
    def _keep(kept: list[dict[str, Tensor]], tensors: dict[str, Tensor]) -> None:
        kept.append({name: tensor.detach().clone() for name, tensor in tensors.items()})
