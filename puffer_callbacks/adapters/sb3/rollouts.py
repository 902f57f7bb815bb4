"""Rollouts of a Stable-Baselines3 algorithm."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.adapters.sb3.episodes import Array, FinishedEpisodes, episode_fields, monitored_episode
from puffer_callbacks.rollout import Rollout


class RolloutCollector(ABC):
    """Follows an algorithm's steps, and returns a rollout where one is complete.

    Args:
        model: the algorithm.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.env_steps: int = model.num_timesteps
        """Those at the last step seen: a new ``learn`` sets the algorithm's to 0 before it ends the one before."""
        self.episodes = FinishedEpisodes(model.get_env())
        """Those that no rollout has had yet."""

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        """Add a step of all N environments."""
        self.episodes.step(infos, rewards, dones)

    @abstractmethod
    def rollout(self, *, last: bool = False) -> Rollout | None:
        """The rollout that is complete; with ``last`` the part of one that there is, its finished episodes included."""

    def _finished_episodes(self) -> Rollout | None:
        fields = self._fields()
        return Rollout(**fields) if len(fields["episode_returns"]) else None

    def _fields(self) -> dict[str, Any]:
        return {
            "env_steps": self.env_steps,
            "action_space": self._model.action_space,
            **self.episodes.pop_fields(),
        }


def collector_for(model: Any, *, rollout_steps: int) -> RolloutCollector:
    """The collector for this algorithm; one without buffers has episodes only.

    Args:
        model: the algorithm.
        rollout_steps: environment steps in a rollout of an off-policy algorithm.
    """
    if getattr(model, "rollout_buffer", None) is not None:
        return _OnPolicy(model)
    if getattr(model, "replay_buffer", None) is not None:
        return _OffPolicy(model, rollout_steps)
    return _EpisodesOnly(model)


class _OnPolicy(RolloutCollector):
    """Of an algorithm with a rollout buffer: its contents."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._rewards: list[Array] = []
        self._dones: list[Array] = []

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        self.episodes.step(infos, rewards, dones)
        # copies, as the algorithm adds to a reward the value of what a time limit has cut off
        self._rewards.append(rewards.copy())
        self._dones.append(dones.copy())

    def rollout(self, *, last: bool = False) -> Rollout | None:
        rewards, self._rewards = self._rewards, []
        dones, self._dones = self._dones, []
        if last:  # what was cut short is not learned from; its finished episodes count
            return self._finished_episodes()
        buffer = self._model.rollout_buffer
        return Rollout(
            observations=_observations(buffer.observations),
            actions=_actions(buffer.actions, self._model.action_space),
            rewards=_tensor(np.stack(rewards)),
            dones=_tensor(np.stack(dones)).bool(),
            values=_tensor(buffer.values),
            log_probs=_tensor(buffer.log_probs),
            advantages=_tensor(buffer.advantages),
            returns=_tensor(buffer.returns),
            **self._fields(),
        )


class _OffPolicy(RolloutCollector):
    """Of an algorithm with a replay buffer, a ring of [size, N, …]: what was stored since the last rollout."""

    def __init__(self, model: Any, rollout_steps: int) -> None:
        super().__init__(model)
        self._rollout_steps = rollout_steps
        self._stored = 0
        self._first = model.replay_buffer.pos

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        self.episodes.step(infos, rewards, dones)
        self._stored += 1

    def rollout(self, *, last: bool = False) -> Rollout | None:
        buffer, stored = self._model.replay_buffer, self._stored
        if (self._first + stored) % buffer.buffer_size != buffer.pos:  # learn ended before the last step was stored
            stored -= 1
        if not last and stored * buffer.n_envs < self._rollout_steps:
            return None
        self._stored, self._first = 0, buffer.pos
        if not stored:
            return self._finished_episodes()
        at = np.arange(buffer.pos - min(stored, buffer.buffer_size), buffer.pos) % buffer.buffer_size
        actions = buffer.actions[at]
        if hasattr(self._model.action_space, "low"):  # stored in [-1, 1]
            actions = self._model.policy.unscale_action(actions)
        return Rollout(
            observations=_observations(buffer.observations, at),
            actions=_actions(actions, self._model.action_space),
            rewards=_tensor(buffer.rewards[at]),
            dones=_tensor(buffer.dones[at]).bool(),
            **self._fields(),
        )


class _EpisodesOnly(RolloutCollector):
    """Of an algorithm that keeps no transitions, as ARS: the new entries of its buffer of episodes."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._seen: list[Any] = []

    def rollout(self, *, last: bool = False) -> Rollout | None:
        seen, self._seen = {id(episode) for episode in self._seen}, list(self._model.ep_info_buffer or ())
        fresh = [monitored_episode({"episode": each}) for each in self._seen if id(each) not in seen]
        return Rollout(**self._fields() | episode_fields(fresh)) if fresh else None


def _observations(observations: Any, at: Any = slice(None)) -> Any:
    """[T, N, *obs]; of a Dict observation a mapping of such tensors."""
    if isinstance(observations, Mapping):
        return {name: _tensor(entry[at]) for name, entry in observations.items()}
    return _tensor(observations[at])


def _actions(actions: Array, action_space: Any) -> Tensor:
    """[T, N, *act]: the buffers keep a lone number as a vector of one."""
    return _tensor(actions.reshape(*actions.shape[:2], *action_space.shape))


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
