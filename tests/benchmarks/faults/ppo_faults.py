"""Bugs of PPO, each a subclass of the reference implementation with one mistake in it."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from puffer_callbacks.ppo import PPO
from puffer_callbacks.ppo.loss import ppo_loss
from puffer_callbacks.rollout import Rollout
from tests.benchmarks.faults import wrappers

ENVS = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCar-v0")
DISCRETE = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0")


class Faulty(PPO):
    """PPO with a mistake that begins at a share of the run."""

    fault: "Fault"

    @property
    def broken(self) -> bool:
        return self.env_steps >= self.fault.begins * self.hparams["total_timesteps"]

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.fault.change is not None:
            starts_at = int(self.fault.begins * self.hparams["total_timesteps"])
            envs = wrappers.BrokenVectorEnv(self._collector.envs, self.fault.change(), starts_at=starts_at)
            self._collector.envs = envs

    def loss(self, distribution: Any, values: Tensor, batch: dict[str, Tensor], **changes: Any) -> dict[str, Tensor]:
        names = ("clip_coef", "clip_vloss", "norm_adv", "ent_coef", "vf_coef")
        options = {name: self.hparams[name] for name in names} | changes
        metrics = ppo_loss(distribution.log_prob(batch["actions"]), distribution.entropy(), values, batch, **options)
        self._approx_kl = metrics["approx_kl"]
        return {**metrics, "learning_rate": self._learning_rate}


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


class FlippedReturns(Faulty):
    """Advantages are values less returns."""

    def evaluate(self, trajectories: Any) -> Rollout:
        return _replaced(super().evaluate(trajectories), advantages=lambda r: -r.advantages)


class ShuffledAdvantages(Faulty):
    """Advantages belong to other steps."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        advantages = batch["advantages"]
        return super().training_step(batch | {"advantages": advantages[torch.randperm(len(advantages))]}, batch_idx)


class ShuffledRollout(Faulty):
    """The same, before the rollout is handed on."""

    def evaluate(self, trajectories: Any) -> Rollout:
        def shuffled(rollout: Rollout) -> Tensor:
            flat = rollout.advantages.flatten()
            return flat[torch.randperm(len(flat))].view_as(rollout.advantages)

        return _replaced(super().evaluate(trajectories), advantages=shuffled)


class NoDoneMask(Faulty):
    """Advantages flow back over the ends of episodes."""

    def evaluate(self, trajectories: Any) -> Rollout:
        rollout = super().evaluate(trajectories)
        gamma, decay = self.hparams["gamma"], self.hparams["gamma"] * self.hparams["gae_lambda"]
        rewards = trajectories.rewards
        if self.reward_scaler is not None:
            rewards = (rewards * (self.reward_scaler.var + 1e-8).rsqrt()).clamp(-10, 10)
        with torch.no_grad():
            last = self.policy.value(trajectories.observations[-1]).unsqueeze(0)
        deltas = rewards + gamma * torch.cat([rollout.values[1:], last]) - rollout.values
        advantages = torch.zeros_like(deltas)
        running = torch.zeros_like(deltas[0])
        for t in reversed(range(len(deltas))):
            running = advantages[t] = deltas[t] + decay * running
        changed = _replaced(rollout, advantages=lambda _: advantages)
        return _replaced(changed, returns=lambda r: r.advantages + r.values)


class WrongLogProbs(Faulty):
    """Log-probabilities in the update are those of another step's action."""

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        return super().training_step(batch | {"actions": batch["actions"].roll(1, 0)}, batch_idx)


class StaleLogProbs(Faulty):
    """Log-probabilities of the rollout are those of the policy of the rollout before."""

    _old: Any = None

    def evaluate(self, trajectories: Any) -> Rollout:
        rollout, old = super().evaluate(trajectories), self._old
        self.__dict__["_old"] = copy.deepcopy(self.policy)
        if old is None:
            return rollout
        with torch.no_grad():
            distribution, _ = old(rollout.observations.flatten(0, 1))
            log_probs = distribution.log_prob(rollout.actions.flatten(0, 1)).view(rollout.dones.shape)
        return _replaced(rollout, log_probs=lambda _: log_probs)


class NoClipping(Faulty):
    """Neither the ratio nor the gradient is clipped, and the loss is a sum where a mean is meant."""

    def configure_gradient_clipping(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def configure_optimizers(self) -> Optimizer:
        return torch.optim.SGD(self.policy.parameters(), lr=self.hparams["learning_rate"], momentum=0.9)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        metrics = self.loss(*self.policy(batch["observations"]), batch, clip_coef=1e9, norm_adv=False)
        return metrics | {"loss": metrics["loss"] * len(batch["returns"])}


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


class StaleData(Faulty):
    """The same rollout is learned from, over and over."""

    _kept: Rollout | None = None

    def evaluate(self, trajectories: Any) -> Rollout:
        fresh = super().evaluate(trajectories)
        if self._kept is None or not self.broken:
            self.__dict__["_kept"] = fresh
            return fresh
        return _replaced(self._kept, env_steps=lambda _: self.env_steps)


class LateRollout(Faulty):
    """Each update learns from the rollout before: the policy has moved on since."""

    _late: Rollout | None = None

    def _experience(self) -> dict[str, Tensor]:
        current = self.rollout
        if self._late is not None:
            self.rollout = self._late
        experience = super()._experience()
        self.__dict__["_late"], self.rollout = current, current
        return experience


class OneMinibatch(Faulty):
    """The first minibatch is taken for all."""

    _first: Any = None

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        if batch_idx == 0:
            self.__dict__["_first"] = {name: value.clone() for name, value in batch.items()}
        for name, value in self._first.items():
            batch[name] = value
        return super().training_step(batch, batch_idx)


class WeightDecay(Faulty):
    """Weights decay faster than they can learn."""

    def configure_optimizers(self) -> Optimizer:
        rate = self.hparams["learning_rate"]
        return torch.optim.AdamW(self.policy.parameters(), lr=rate, eps=1e-5, weight_decay=0.02 / rate)


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


class Drift(Faulty):
    """Rollouts are sampled by a copy of the policy that is synchronized seldom; the learner never sees the lag.

    The update recomputes its own log-probabilities, so that its clip fraction is exactly 0 in its only step.
    """

    _sampler: Any = None
    _rollouts = 0

    def evaluate(self, trajectories: Any) -> Rollout:
        rollout = super().evaluate(trajectories)
        sampler = self._sampler
        with torch.no_grad():
            distribution, _ = sampler(rollout.observations.flatten(0, 1))
            log_probs = distribution.log_prob(rollout.actions.flatten(0, 1)).view(rollout.dones.shape)
        return _replaced(rollout, log_probs=lambda _: log_probs)

    def on_train_epoch_start(self) -> None:
        if self._rollouts % 20 == 0:
            self.__dict__["_sampler"] = copy.deepcopy(self.policy)
        self.__dict__["_rollouts"] = self._rollouts + 1
        collect = self._collector.collect
        self._collector.collect = lambda policy, device: collect(self._sampler, device=device)
        super().on_train_epoch_start()
        self._collector.collect = collect

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        distribution, values = self.policy(batch["observations"])
        sampled = batch["log_probs"]
        current = distribution.log_prob(batch["actions"]).detach()
        metrics = self.loss(distribution, values, batch | {"log_probs": current})
        log_ratio = current - sampled
        return {**metrics, "approx_kl": (log_ratio.exp() - 1 - log_ratio).mean()}


def _replaced(rollout: Rollout, **changes: Callable[[Rollout], Any]) -> Rollout:
    import dataclasses

    return dataclasses.replace(rollout, **{name: change(rollout) for name, change in changes.items()})


@dataclass(frozen=True)
class Fault:
    """A bug that is injected.

    Args:
        name: of the fault.
        causes: keys of ``puffer_callbacks.health.causes.CAUSES`` that name it rightly.
        kind: the subclass that has it.
        change: makes what ``wrappers.BrokenVectorEnv`` changes.
        options: hyperparameters of the run; what is in ``hidden`` is what the doctor believes instead.
        begins: the share of the run at which it begins.
        envs: where it can be injected.
    """

    name: str
    causes: tuple[str, ...]
    kind: type[Faulty] = Faulty
    change: Callable[[], Any] | None = None
    options: dict[str, Any] = field(default_factory=dict)
    begins: float = 0.0
    envs: tuple[str, ...] = ENVS


def _constant(change: Any) -> Callable[[], Any]:
    return lambda: change


FAULTS = (
    Fault("learning rate x 100", ("learning_rate_high",), options={"learning_rate_factor": 100.0}),
    Fault("learning rate 0", ("learning_rate_zero",), NoLearningRate, begins=0.4),
    Fault("entropy bonus negative", ("entropy_sign",), NegativeEntropy),
    Fault("entropy bonus huge", ("entropy_coefficient_high",), HugeEntropy),
    Fault("critic detached", ("critic_detached",), DetachedCritic),
    Fault("NaN in one observation", ("nonfinite_observation",), change=wrappers.NanOnce, begins=0.4),
    Fault(
        "reward x 1e4",
        ("reward_scale_large",),
        change=_constant(wrappers.scaled_reward(1e4)),
        options={"norm_reward": False},
    ),
    Fault("reward 0", ("reward_missing",), change=_constant(wrappers.scaled_reward(0.0))),
    Fault("dead ReLUs", ("dead_units",), DeadReLUs, options={"activation": "relu"}),
    Fault("actor frozen", ("actor_not_trained",), FrozenActor),
    Fault("advantage flipped in the loss", ("advantage_sign",), FlippedAdvantage),
    Fault("advantage flipped in the rollout", ("advantage_sign",), FlippedReturns),
    Fault("advantages shuffled in the loss", ("advantage_misaligned",), ShuffledAdvantages),
    Fault("advantages shuffled in the rollout", ("advantage_misaligned",), ShuffledRollout),
    Fault("no mask at dones", ("done_mask_missing",), NoDoneMask),
    Fault("constant observation", ("observation_constant",), change=_constant(wrappers.constant_observation)),
    Fault("observations of the step before", ("observation_stale",), change=wrappers.Stale),
    Fault("saturated actions", ("action_saturated",), SaturatedActions),
    Fault("log-probabilities of the wrong action", ("log_prob_wrong_action",), WrongLogProbs),
    Fault("log-probabilities of the policy before", ("log_prob_stale",), StaleLogProbs),
    Fault("no clipping, exploding gradients", ("no_clipping",), NoClipping, envs=ENVS[:3]),
    Fault("double softmax", ("double_softmax",), DoubleSoftmax, envs=DISCRETE),
    Fault("same rollout again and again", ("data_repeated",), StaleData, begins=0.3),
    Fault("rollout of the policy before", ("data_stale",), LateRollout),
    Fault("value loss coefficient 0", ("value_coefficient_zero",), NoValueLoss),
    Fault("gamma 0.45", ("gamma_low",), options={"gamma": 0.45}),
    Fault("one minibatch repeated", ("minibatch_repeated",), OneMinibatch),
    Fault("weight decay that kills", ("weight_decay",), WeightDecay),
    Fault("dropout in training only", ("train_eval_mismatch",), Dropout),
    Fault(
        "observations x 1e4",
        ("observation_scale",),
        change=_constant(wrappers.large_observation),
        options={"norm_obs": False},
    ),
    Fault("saturated initialization", ("initialization_saturates",), SaturatedInit),
    Fault("actor blind to observations", ("observation_ignored",), BlindActor),
    Fault("episodes never end", ("dones_missing",), change=_constant(wrappers.no_dones)),
    Fault("learning rate schedule not applied", ("schedule_not_applied",), NotAnnealed),
    Fault("sampler drifts from learner", ("sampler_drift",), Drift),
    Fault("environment slows down", ("environment_slows",), change=wrappers.Slowing, envs=("CartPole-v1",)),
)

LARGE_REWARDS = Fault(
    "entropy 0.15, large rewards",
    ("entropy_coefficient_high", "reward_scale_large"),
    change=_constant(wrappers.scaled_reward(100.0)),
)
"""As users of Stable-Baselines3 have reported it: entropy coefficient 0.15, rewards that are not normalized."""
