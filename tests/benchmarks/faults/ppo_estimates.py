"""PPO with a mistake in its estimates: advantages and the critic's targets."""

from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.rollout import Rollout
from tests.benchmarks.faults.ppo_faulty import Faulty
from tests.benchmarks.faults.ppo_rollouts import replaced


class OtherEstimate(Faulty):
    """Generalized advantage estimation with masks and a discount of its own; a cut at a time limit is an end."""

    gamma: float | None = None

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        """What the next values and the next advantages are multiplied by, each [T, N]."""
        return ~dones, ~dones

    def evaluate(self, trajectories: Any) -> Rollout:
        rollout = super().evaluate(trajectories)
        gamma = self.hparams["gamma"] if self.gamma is None else self.gamma
        rewards = trajectories.rewards
        if self.reward_scaler is not None:
            rewards = (rewards * (self.reward_scaler.var + 1e-8).rsqrt()).clamp(-10, 10)
        with torch.no_grad():
            last = self.policy.value(trajectories.observations[-1]).unsqueeze(0)
        of_values, of_advantages = self.masks(trajectories.dones)
        deltas = rewards + gamma * torch.cat([rollout.values[1:], last]) * of_values - rollout.values
        advantages, running = torch.zeros_like(deltas), torch.zeros_like(deltas[0])
        for t in reversed(range(len(deltas))):
            running = advantages[t] = deltas[t] + gamma * self.hparams["gae_lambda"] * of_advantages[t] * running
        changed = replaced(rollout, advantages=lambda _: advantages)
        return replaced(changed, returns=lambda r: r.advantages + r.values)


class NoDoneMask(OtherEstimate):
    """Advantages flow back over the ends of episodes."""

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(dones), torch.ones_like(dones)


class NoValueMask(OtherEstimate):
    """The next episode's first value is taken for what follows an end."""

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(dones), ~dones


class NoAdvantageMask(OtherEstimate):
    """The next episode's first advantage is carried over an end."""

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        return ~dones, torch.ones_like(dones)


class LateMask(OtherEstimate):
    """The mask is that of the step before, as buffers have it that mark first observations."""

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        late = ~torch.cat([torch.zeros_like(dones[:1]), dones[:-1]])
        return late, late


class InvertedMask(OtherEstimate):
    """The mask is 1 at the ends of episodes and 0 within them."""

    def masks(self, dones: Tensor) -> tuple[Tensor, Tensor]:
        return dones, dones


class OtherGamma(OtherEstimate):
    """The estimator has a default of its own."""

    gamma = 0.5


class AdvantageTargets(Faulty):
    """The critic learns the advantages."""

    def evaluate(self, trajectories: Any) -> Rollout:
        return replaced(super().evaluate(trajectories), returns=lambda r: r.advantages)
