"""What a Stable-Baselines3 algorithm lives through, as ``Rollout``."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.rollout import Rollout

Array = NDArray[Any]


class RolloutCollector(ABC):
    """Follows an algorithm's steps, and has a rollout where one is complete.

    Args:
        model: the algorithm.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._episodes: list[dict[str, Any]] = []

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        """All N environments have made a step."""
        for info, done in zip(infos, dones, strict=True):
            if done and isinstance(info.get("episode"), Mapping):
                self._episodes.append(finished_episode(info))

    @abstractmethod
    def rollout(self, *, last: bool = False) -> Rollout | None:
        """The rollout that is complete; with ``last`` what there is of one."""

    def _fields(self) -> dict[str, Any]:
        episodes, self._episodes = self._episodes, []
        return {
            "env_steps": self._model.num_timesteps,
            "action_space": self._model.action_space,
            **episode_fields(episodes),
        }


def collector_for(model: Any, *, rollout_steps: int) -> RolloutCollector:
    """How to follow this algorithm.

    Args:
        model: the algorithm.
        rollout_steps: environment steps in a rollout of one that has none of its own.

    Raises:
        TypeError: if it has neither a rollout buffer nor a replay buffer.
    """
    if getattr(model, "rollout_buffer", None) is not None:
        return _OnPolicy(model)
    if getattr(model, "replay_buffer", None) is not None:
        return _OffPolicy(model, rollout_steps)
    expected = "expected an algorithm with a rollout_buffer (PPO, A2C, …) or a replay_buffer (DQN, SAC, …)"
    raise TypeError(f"SB3Bridge: {expected}, got {type(model).__name__}")


class _OnPolicy(RolloutCollector):
    """Its rollout buffer is what it learns from next."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._rewards: list[Array] = []
        self._dones: list[Array] = []

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        super().step(infos, rewards, dones)
        # copies, as the algorithm adds to a reward the value of what a time limit has cut off
        self._rewards.append(rewards.copy())
        self._dones.append(dones.copy())

    def rollout(self, *, last: bool = False) -> Rollout | None:
        rewards, self._rewards = self._rewards, []
        dones, self._dones = self._dones, []
        if last:  # one that was cut short is not learned from
            return None
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
    """What it has stored in its replay buffer, a ring of [size, N, …], since the last rollout."""

    def __init__(self, model: Any, rollout_steps: int) -> None:
        super().__init__(model)
        self._rollout_steps = rollout_steps
        self._stored = 0

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        super().step(infos, rewards, dones)
        self._stored += 1

    def rollout(self, *, last: bool = False) -> Rollout | None:
        buffer, stored = self._model.replay_buffer, self._stored
        if not stored or (not last and stored * buffer.n_envs < self._rollout_steps):
            return None
        self._stored = 0
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


def finished_episode(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``Monitor`` wrapper says of an episode, and whether it was a success.

    Example:
        >>> finished_episode({"episode": {"r": 21.0, "l": 21, "t": 0.1}, "is_success": True})
        {'r': 21.0, 'l': 21, 'is_success': True}
    """
    said = {name: value for name, value in info["episode"].items() if name != "t"}
    return said | ({"is_success": info["is_success"]} if "is_success" in info else {})


def episode_fields(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a ``Rollout`` that finished episodes fill."""
    names = dict.fromkeys(name for episode in episodes for name in episode)
    columns = {name: _column([episode.get(name) for episode in episodes]) for name in names}
    known = {name: column for name, column in columns.items() if column is not None}
    return {"episode_returns": known.pop("r", None), "episode_lengths": known.pop("l", None), "infos": known}


def _observations(observations: Any, at: Any = slice(None)) -> Tensor:
    """[T, N, *obs]; of a Dict observation the largest entry."""
    if isinstance(observations, Mapping):
        observations = max(observations.values(), key=lambda entry: entry.size)
    return _tensor(observations[at])


def _actions(actions: Array, action_space: Any) -> Tensor:
    """[T, N, *act]: the buffers keep a lone number as a vector of one."""
    return _tensor(actions.reshape(*actions.shape[:2], *action_space.shape))


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _column(values: list[Any]) -> Tensor | None:
    try:
        numbers = [math.nan if value is None else float(value) for value in values]
    except (TypeError, ValueError):  # words
        return None
    return torch.tensor(numbers, dtype=torch.float64)
