"""Small modules whose every logged number is known in advance."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from puffer_callbacks import Rollout, emit


class Supervised(pl.LightningModule):
    """Returns the outputs of a script, step for step; the gradients of its loss are 0."""

    def __init__(self, script: Sequence[Mapping[str, Any]], *, lr: float = 0.1) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.script = script
        self.lr = lr
        self.step = 0

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        outputs = self.script[self.step]
        self.step += 1
        return {**outputs, "loss": self.anchor() + outputs.get("loss", 0.0)}

    def anchor(self) -> Tensor:
        return sum(parameter.sum() for parameter in self.layer.parameters()) * 0.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)

    def train_dataloader(self) -> range:
        return range(len(self.script))


class Agent(Supervised):
    """An RL module: every ``updates`` batches a rollout of T × N steps, made by ``make``."""

    def __init__(
        self,
        script: Sequence[Mapping[str, Any]],
        *,
        updates: int = 4,
        make: Callable[[int, int], Rollout] | None = None,
    ) -> None:
        super().__init__(script)
        self.env_steps = 0
        self.updates = updates
        self.make = make or random_rollout
        self.rollouts: list[Rollout] = []

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        if self.step % self.updates == 0:
            rollout = self.make(len(self.rollouts), self.env_steps)
            self.env_steps = rollout.env_steps
            self.rollouts.append(rollout)
            emit(self, "on_rollout_end", rollout)
        return super().training_step(batch, batch_idx)


class TwoOptimizers(pl.LightningModule):
    """Manual optimization: a critic that steps with each batch, and an actor that steps with every second."""

    def __init__(self, *, batches: int, returns_metrics: bool = True) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.critic = nn.Linear(2, 1)
        self.actor = nn.Linear(2, 1)
        self.batches = batches
        self.returns_metrics = returns_metrics

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor] | None:
        critic, actor = self.optimizers()
        self._update(critic, self.critic)
        if batch_idx % 2 == 0:
            self._update(actor, self.actor)
        if not self.returns_metrics:
            return None
        return {"loss": torch.tensor(float(batch_idx)), "critic_loss": self.critic.weight.sum() * 0 + 2.0}

    def _update(self, optimizer: Any, network: nn.Module) -> None:
        optimizer.zero_grad()
        self.manual_backward(network(torch.ones(1, 2)).sum() * 0)
        optimizer.step()

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [
            torch.optim.SGD(self.critic.parameters(), lr=0.1),
            torch.optim.SGD(self.actor.parameters(), lr=0.01),
        ]

    def train_dataloader(self) -> range:
        return range(self.batches)


def random_rollout(at: int, env_steps: int, *, steps: int = 8, envs: int = 2, **fields: Any) -> Rollout:
    """A full rollout, the same for the same ``at``; ``env_steps`` is the total before it."""
    generator = torch.Generator().manual_seed(at)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    full: dict[str, Any] = {
        "observations": draw(steps, envs, 4),
        "actions": torch.randint(0, 2, (steps, envs), generator=generator),
        "rewards": draw(steps, envs),
        "dones": torch.zeros(steps, envs, dtype=torch.bool),
        "values": draw(steps, envs),
        "returns": draw(steps, envs),
        "advantages": draw(steps, envs),
        "log_probs": draw(steps, envs),
        "entropy": draw(steps, envs).abs(),
        "episode_returns": draw(5) * 10,
        "episode_lengths": torch.randint(1, 100, (5,), generator=generator),
        "infos": {"reward_forward": draw(5), "success": (draw(5) > 0).float()},
        "env_steps": env_steps + steps * envs,
    }
    return Rollout(**{**full, **fields})


def losses(*values: float) -> list[dict[str, float]]:
    """A script of these losses."""
    return [{"loss": value} for value in values]
