"""What a Stable-Baselines3 algorithm has lived through, as a ``Rollout``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.rollout import Rollout

Array = NDArray[Any]


class Episodes:
    """The finished episodes since the last ``take``: what the ``Monitor`` wrapper says of each.

    Example:
        >>> episodes = Episodes()
        >>> episodes.add([{"episode": {"r": 21.0, "l": 21, "t": 0.1}}, {}], [True, False])
        >>> episodes.take()["episode_returns"]
        tensor([21.], dtype=torch.float64)
    """

    def __init__(self) -> None:
        self._episodes: list[dict[str, Any]] = []

    def add(self, infos: Any, dones: Any) -> None:
        """Look at one step of all environments."""
        for info, done in zip(infos, dones, strict=True):
            if done and isinstance(info.get("episode"), Mapping):
                episode = {name: value for name, value in info["episode"].items() if name != "t"}
                if "is_success" in info:
                    episode["is_success"] = info["is_success"]
                self._episodes.append(episode)

    def take(self) -> dict[str, Any]:
        """The fields of a ``Rollout`` that they fill."""
        episodes, self._episodes = self._episodes, []
        names = dict.fromkeys(name for episode in episodes for name in episode)
        columns = {name: _column([episode.get(name) for episode in episodes]) for name in names}
        fields = {"episode_returns": columns.pop("r", None), "episode_lengths": columns.pop("l", None)}
        infos = {name: column for name, column in columns.items() if column is not None}
        return {**{name: value for name, value in fields.items() if value is not None}, "infos": infos}


def from_rollout_buffer(
    buffer: Any, rewards: list[Array], dones: list[Array], **fields: Any
) -> Rollout:
    """What an on-policy algorithm learns from next.

    Args:
        buffer: its ``RolloutBuffer``, filled, its arrays [T, N, …].
        rewards: [N] of each of the T steps, as the environments gave them: the buffer's contain the value of what
            came after a time limit.
        dones: [N] of each of the T steps.
        **fields: further fields of the rollout.
    """
    return Rollout(
        observations=_observations(buffer.observations),
        actions=_actions(buffer.actions, fields.get("action_space")),
        rewards=_tensor(np.stack(rewards)),
        dones=_tensor(np.stack(dones)).bool(),
        values=_tensor(buffer.values),
        log_probs=_tensor(buffer.log_probs),
        advantages=_tensor(buffer.advantages),
        returns=_tensor(buffer.returns),
        **fields,
    )


def from_replay_buffer(buffer: Any, count: int, policy: Any, **fields: Any) -> Rollout:
    """The latest ``count`` steps that an off-policy algorithm has stored.

    Args:
        buffer: its ``ReplayBuffer``, a ring of [size, N, …].
        count: T.
        policy: the policy, for the scale of its actions.
        **fields: further fields of the rollout.
    """
    at = np.arange(buffer.pos - count, buffer.pos) % buffer.buffer_size
    actions = buffer.actions[at]
    if hasattr(fields.get("action_space"), "low"):  # stored in [-1, 1]
        actions = policy.unscale_action(actions)
    stored = buffer.observations
    observations = {k: v[at] for k, v in stored.items()} if isinstance(stored, Mapping) else stored[at]
    return Rollout(
        observations=_observations(observations),
        actions=_actions(actions, fields.get("action_space")),
        rewards=_tensor(buffer.rewards[at]),
        dones=_tensor(buffer.dones[at]).bool(),
        **fields,
    )


def _observations(observations: Any) -> Tensor:
    """[T, N, *obs]; of a Dict observation the largest entry."""
    if isinstance(observations, Mapping):
        observations = max(observations.values(), key=lambda entry: entry.size)
    return _tensor(observations)


def _actions(actions: Array, action_space: Any) -> Tensor:
    """[T, N, *act]: the buffers keep a lone number as a vector of one."""
    shape = getattr(action_space, "shape", None)
    return _tensor(actions if shape is None else actions.reshape(*actions.shape[:2], *shape))


def _tensor(array: Array) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def _column(values: list[Any]) -> Tensor | None:
    try:
        return torch.tensor([float("nan") if value is None else float(value) for value in values], dtype=torch.float64)
    except (TypeError, ValueError):  # words
        return None
