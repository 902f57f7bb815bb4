"""PPO with a mistake in its networks."""

from typing import Any

import torch
from torch import Tensor, nn

from tests.benchmarks.faults.ppo_faulty import Faulty


class DoubleSoftmax(Faulty):
    """Probabilities are given where logits are expected."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        policy.actor.append(nn.Softmax(dim=-1))
        return policy


class DeadReLUs(Faulty):
    """Biases so low that no unit of a layer is ever active."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        for network in (policy.actor, policy.critic):
            with torch.no_grad():
                network[2].bias.fill_(-20.0)
        return policy


class SaturatedInit(Faulty):
    """Initial weights so large that tanh units are at their bounds."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        for network in (policy.actor, policy.critic):
            with torch.no_grad():
                network[0].weight.mul_(100.0)
                network[2].weight.mul_(100.0)
        return policy


class SaturatedActions(Faulty):
    """Actions are scaled a second time, far beyond their bounds."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        with torch.no_grad():
            if policy.continuous:
                policy.actor[-1].bias.fill_(40.0)
            else:
                policy.actor[-1].bias[0] = 40.0
        return policy


class Dropout(Faulty):
    """Dropout while training, none while collecting."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        for name in ("actor", "critic"):
            layers: list[nn.Module] = []
            for layer in getattr(policy, name):
                layers += [layer, nn.Dropout(0.5)] if isinstance(layer, nn.Tanh | nn.ReLU) else [layer]
            setattr(policy, name, nn.Sequential(*layers))
        return policy

    def on_train_epoch_start(self) -> None:
        self.policy.eval()
        super().on_train_epoch_start()
        self.policy.train()


class _BlindLinear(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(torch.zeros_like(inputs))


class BlindActor(Faulty):
    """The actor is given zeros for observations, the critic the real ones."""

    def _make_policy(self) -> Any:
        policy = super()._make_policy()
        policy.actor[0].__class__ = _BlindLinear
        return policy
