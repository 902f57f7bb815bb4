"""PPO with a mistake in the update: its loss, its optimizer, its learning rate."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from puffer_callbacks.ppo.loss import normalize_advantages
from tests.benchmarks.faults.ppo_faulty import Faulty


class NoLearningRate(Faulty):
    """The learning rate is 0."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        if self.broken:
            self.trainer.optimizers[0].param_groups[0]["lr"] = 0.0
            self._learning_rate = torch.tensor(0.0)


class NotAnnealed(Faulty):
    """The schedule is configured, but nobody applies it."""

    def on_train_epoch_start(self) -> None:
        super().on_train_epoch_start()
        group = self.trainer.optimizers[0].param_groups[0]
        group["lr"] = self.hparams["learning_rate"]
        self._learning_rate = torch.tensor(group["lr"])


class EntropyCoefficient(Faulty):
    """The entropy bonus has another weight than configured."""

    coefficient = 0.0

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        if not self.broken:
            return super().training_step(batch, batch_idx)
        return self.loss(*self.policy(batch["observations"]), batch, ent_coef=self.coefficient)


class NegativeEntropy(EntropyCoefficient):
    coefficient = -0.3


class HugeEntropy(EntropyCoefficient):
    coefficient = 10.0


class DetachedCritic(Faulty):
    """The value loss does not reach the critic."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        distribution, values = self.policy(batch["observations"])
        return self.loss(distribution, values.detach(), batch)


class NoValueLoss(Faulty):
    """The value loss has weight 0."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return self.loss(*self.policy(batch["observations"]), batch, vf_coef=0.0)


class FrozenActor(Faulty):
    """The optimizer was given the critic alone."""

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.Adam(self.policy.critic.parameters(), lr=self.hparams["learning_rate"], eps=1e-5)


class FlippedAdvantage(Faulty):
    """The policy loss has the wrong sign."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return super().training_step(batch | {"advantages": -batch["advantages"]}, batch_idx)


class ShuffledAdvantages(Faulty):
    """Advantages belong to other steps."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        advantages = batch["advantages"]
        return super().training_step(batch | {"advantages": advantages[torch.randperm(len(advantages))]}, batch_idx)


class WrongLogProbs(Faulty):
    """Log-probabilities in the update are those of another step's action."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return super().training_step(batch | {"actions": batch["actions"].roll(1, 0)}, batch_idx)


class NoClipping(Faulty):
    """Neither the ratio nor the gradient is clipped, and the loss is a sum where a mean is meant."""

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.SGD(self.policy.parameters(), lr=self.hparams["learning_rate"], momentum=0.9)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        metrics = self.loss(*self.policy(batch["observations"]), batch, clip_coef=1e9, norm_adv=False)
        return metrics | {"loss": metrics["loss"] * len(batch["returns"])}


class NoZeroGrad(Faulty):
    """Gradients are never zeroed."""

    def optimizer_zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


class BroadcastValueLoss(Faulty):
    """Values [B, 1] less returns [B] are [B, B]."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        distribution, values = self.policy(batch["observations"])
        metrics = self.loss(distribution, values, batch, vf_coef=0.0)
        value_loss = 0.5 * (values[:, None] - batch["returns"]).square().mean()
        loss = metrics["loss"] + self.hparams["vf_coef"] * value_loss
        return {**metrics, "loss": loss, "value_loss": value_loss.detach()}


class OtherObjective(Faulty):
    """The policy's objective is another one than PPO's."""

    def objective(self, ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
        """Of ratios [B] and normalized advantages [B]; 0-d."""
        raise NotImplementedError

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        distribution, values = self.policy(batch["observations"])
        ratio = (distribution.log_prob(batch["actions"]) - batch["log_probs"]).exp()
        objective = self.objective(ratio, normalize_advantages(batch["advantages"]), self.hparams["clip_coef"])
        without = batch | {"advantages": torch.zeros_like(ratio)}
        metrics = self.loss(distribution, values, without, norm_adv=False)
        return {**metrics, "loss": metrics["loss"] - objective, "policy_loss": -objective.detach()}


class BroadcastPolicyLoss(OtherObjective):
    """Ratios [B, 1] times advantages [B] are [B, B]."""

    def objective(self, ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
        ratio = ratio[:, None]
        return torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - clip, 1 + clip)).mean()


class ClipAboutZero(OtherObjective):
    """The ratio is clamped to [−ε, ε]."""

    def objective(self, ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
        return torch.minimum(advantages * ratio, advantages * ratio.clamp(-clip, clip)).mean()


class RatioOfOne(Faulty):
    """Each step of an update compares its log-probabilities with themselves."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        with torch.no_grad():
            log_probs = self.policy(batch["observations"])[0].log_prob(batch["actions"])
        return super().training_step(batch | {"log_probs": log_probs}, batch_idx)


class WeightDecay(Faulty):
    """Weights decay faster than they can learn."""

    def configure_optimizers(self) -> Optimizer:
        rate = self.hparams["learning_rate"]
        return torch.optim.AdamW(self.policy.parameters(), lr=rate, eps=1e-5, weight_decay=0.02 / rate)
