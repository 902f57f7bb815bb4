"""PPO with a mistake in what it learns from."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.rollout import Rollout
from tests.benchmarks.faults.ppo_faulty import Faulty


class FlippedReturns(Faulty):
    """Advantages are values less returns."""

    def evaluate(self, trajectories: Any) -> Rollout:
        return replaced(super().evaluate(trajectories), advantages=lambda r: -r.advantages)


class ShuffledRollout(Faulty):
    """The same, before the rollout is handed on."""

    def evaluate(self, trajectories: Any) -> Rollout:
        def shuffled(rollout: Rollout) -> Tensor:
            flat = rollout.advantages.flatten()
            return flat[torch.randperm(len(flat))].view_as(rollout.advantages)

        return replaced(super().evaluate(trajectories), advantages=shuffled)


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
        return replaced(rollout, log_probs=lambda _: log_probs)


class StaleData(Faulty):
    """The same rollout is learned from, over and over."""

    _kept: Rollout | None = None

    def evaluate(self, trajectories: Any) -> Rollout:
        fresh = super().evaluate(trajectories)
        if self._kept is None or not self.broken:
            self.__dict__["_kept"] = fresh
            return fresh
        return replaced(self._kept, env_steps=lambda _: self.env_steps)


class LateRollout(Faulty):
    """Each update learns from the rollout before: the policy has moved on since."""

    _late: Rollout | None = None

    def _batch_tensors(self) -> dict[str, Tensor]:
        current = self.rollout
        if self._late is not None:
            self.rollout = self._late
        tensors = super()._batch_tensors()
        self.__dict__["_late"], self.rollout = current, current
        return tensors


class OneMinibatch(Faulty):
    """The first minibatch is taken for all."""

    _first: Any = None

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Tensor]:
        if batch_idx == 0:
            self.__dict__["_first"] = {name: value.clone() for name, value in batch.items()}
        for name, value in self._first.items():
            batch[name] = value
        return super().training_step(batch, batch_idx)


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
        return replaced(rollout, log_probs=lambda _: log_probs)

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


def replaced(rollout: Rollout, **changes: Callable[[Rollout], Any]) -> Rollout:
    return dataclasses.replace(rollout, **{name: change(rollout) for name, change in changes.items()})
