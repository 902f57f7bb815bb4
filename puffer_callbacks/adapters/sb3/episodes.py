"""The finished episodes of a Stable-Baselines3 run, from its ``Monitor`` or counted."""

import math
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.measure.episode_counter import EpisodeCounter
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values.scalars import as_scalar, to_floats

Array = NDArray[Any]


class FinishedEpisodes:
    """Collects what ``Monitor`` reports of each episode; without one, counts rewards and dones.

    Args:
        env: the algorithm's vectorized environment, or ``None``.
    """

    def __init__(self, env: Any) -> None:
        self._reported: list[dict[str, Any]] = []
        self._counter = None if is_monitored(env) else EpisodeCounter()
        self._normalizer = env if hasattr(env, "get_original_reward") else None
        self._rewards: list[Array] = []
        self._dones: list[Array] = []

    def step(self, infos: Any, rewards: Array, dones: Array) -> None:
        """Add a step of all N environments."""
        if self._counter is not None:
            original = rewards if self._normalizer is None else self._normalizer.get_original_reward()
            self._rewards.append(original.copy())
            self._dones.append(dones.copy())
        elif np.count_nonzero(dones):  # a third of the time of ``any``, at every step
            finished = (info for info, done in zip(infos, dones, strict=True) if done)
            self._reported += [monitored_episode(info) for info in finished if "episode" in info]

    def pop_fields(self) -> dict[str, Any]:
        """The fields of a ``Rollout`` that the episodes since the last call fill."""
        episodes = [*self._reported, *self._counted(self._counter)]
        self._reported, self._rewards, self._dones = [], [], []
        return episode_fields(episodes)

    def continue_count(self, previous: "FinishedEpisodes") -> None:
        """Continue the unfinished episodes of an earlier ``learn``; ``Monitor`` does so itself."""
        if self._counter is not None and previous._counter is not None:
            self._counter = previous._counter

    def load(self, episodes: Iterable[Mapping[str, float]]) -> None:
        """Begin with the episodes of a rollout that a checkpoint cut short."""
        self._reported = [dict(episode) for episode in episodes]

    def state(self) -> list[dict[str, float]]:
        """The episodes since the last ``pop_fields``, for a checkpoint, as far as numbers are reported."""
        episodes = [*self._reported, *self._counted(deepcopy(self._counter))]
        return [to_floats({name: v for name, v in each.items() if as_scalar(v) is not None}) for each in episodes]

    def _counted(self, counter: EpisodeCounter | None) -> list[dict[str, Any]]:
        if counter is None or not self._rewards:
            return []
        rewards, dones = (torch.from_numpy(np.stack(each)) for each in (self._rewards, self._dones))
        finished = zip(*counter.finished(Rollout(rewards=rewards, dones=dones)), strict=True)
        return [{"r": total, "l": length} for total, length in finished]


def is_monitored(env: Any) -> bool:
    """Whether ``Monitor`` or ``VecMonitor`` wraps all environments."""
    from stable_baselines3.common.monitor import Monitor  # noqa: PLC0415  # optional
    from stable_baselines3.common.vec_env import VecMonitor, is_vecenv_wrapped  # noqa: PLC0415

    return env is not None and (is_vecenv_wrapped(env, VecMonitor) or all(env.env_is_wrapped(Monitor)))


def monitored_episode(info: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``Monitor`` wrapper reports of an episode, and whether it was a success.

    Example:
        >>> monitored_episode({"episode": {"r": 21.0, "l": 21, "t": 0.1}, "is_success": True})
        {'r': 21.0, 'l': 21, 'is_success': True}
    """
    reported = {name: value for name, value in info["episode"].items() if name != "t"}
    return reported | ({"is_success": info["is_success"]} if "is_success" in info else {})


def episode_fields(episodes: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a ``Rollout`` that finished episodes fill: none of them is counted again.

    Example:
        >>> episode_fields([])["episode_returns"].shape
        torch.Size([0])
    """
    names = dict.fromkeys(name for episode in episodes for name in episode)
    columns = {name: _column([episode.get(name) for episode in episodes]) for name in names}
    filled = {name: column for name, column in columns.items() if column is not None}
    none = torch.zeros(0, dtype=torch.float64)
    return {"episode_returns": filled.pop("r", none), "episode_lengths": filled.pop("l", none), "infos": filled}


def _column(values: list[Any]) -> Tensor | None:
    try:
        numbers = [math.nan if value is None else float(value) for value in values]
    except (TypeError, ValueError):  # texts
        return None
    return torch.tensor(numbers, dtype=torch.float64)
