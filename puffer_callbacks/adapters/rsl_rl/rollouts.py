"""Rollouts of an rsl_rl runner."""

from collections import defaultdict
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.measure.episode_counter import EpisodeCounter, Floats
from puffer_callbacks.rollout import Rollout


class StorageRollouts:
    """Follows the environments' steps, and makes a rollout of them and the algorithm's storage.

    The storage adds to a reward the value of what a time limit has cut off, and intrinsic rewards; so rewards,
    and the episodes counted from them, are kept as the environments gave them.
    """

    def __init__(self) -> None:
        self._counter = EpisodeCounter()
        self._rewards: list[Tensor] = []
        self._dones: list[Tensor] = []
        self._infos: dict[str, list[Tensor]] = defaultdict(list)
        self._loaded: tuple[Floats, Floats] = (np.zeros(0), np.zeros(0))

    def begin_episodes(self) -> None:
        """Drop unfinished episodes: the environments begin anew."""
        self._counter = EpisodeCounter()

    def step(self, rewards: Tensor, dones: Tensor, extras: Mapping[str, Any]) -> None:
        """Add a step: rewards [N], dones [N], and the environments' own numbers."""
        self._rewards.append(rewards.clone())
        self._dones.append(dones.clone())
        for name, value in (extras.get("episode") or extras.get("log") or {}).items():
            self._infos[name.strip("/")].append(torch.as_tensor(value).detach().float().reshape(-1).cpu())

    def pop(self, storage: Any, *, env_steps: int) -> Rollout | None:
        """The rollout since the last call, or ``None`` without a step.

        Args:
            storage: the algorithm's, after it has computed returns; all but its observations is copied. ``None`` for
                a rollout that was cut short, of which the finished episodes count.
            env_steps: environment steps so far.
        """
        if not self._rewards:
            return None
        rewards, dones = torch.stack(self._rewards), torch.stack(self._dones).bool()
        infos = {name: torch.cat(values) for name, values in self._infos.items()}
        returns, lengths = self._finished(self._counter)
        self._rewards, self._dones, self._infos = [], [], defaultdict(list)
        self._loaded = (np.zeros(0), np.zeros(0))
        episodes = Rollout(
            episode_returns=torch.from_numpy(returns),
            episode_lengths=torch.from_numpy(lengths),
            infos=infos,
            env_steps=env_steps,
        )
        return episodes if storage is None else replace(episodes, rewards=rewards, dones=dones, **_stored(storage))

    def state_dict(self) -> dict[str, Tensor]:
        """For a checkpoint: the episodes under way, and those that have finished since the last rollout."""
        counter = deepcopy(self._counter)
        finished = dict(zip(("finished_returns", "finished_lengths"), self._finished(counter), strict=True))
        return {**counter.state_dict(), **{name: torch.from_numpy(each) for name, each in finished.items()}}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a checkpoint, or from none."""
        if state:
            self._counter.load_state_dict(state)
            self._loaded = (state["finished_returns"].numpy(), state["finished_lengths"].numpy())

    def _finished(self, counter: EpisodeCounter) -> tuple[Floats, Floats]:
        """Returns and lengths of the episodes since the last rollout, counted by this counter."""
        if not self._rewards:
            return self._loaded
        counted = counter.finished(Rollout(rewards=torch.stack(self._rewards), dones=torch.stack(self._dones)))
        returns, lengths = (np.concatenate(pair) for pair in zip(self._loaded, counted, strict=True))
        return returns, lengths


def _stored(storage: Any) -> dict[str, Any]:
    """Observations, actions, and the estimates [T, N] that are kept as [T, N, 1]; of distillation there are none."""
    names = {"values": "values", "log_probs": "actions_log_prob", "advantages": "advantages", "returns": "returns"}
    found = {name: getattr(storage, stored, None) for name, stored in names.items()}
    estimates = {name: value.squeeze(-1).clone() for name, value in found.items() if isinstance(value, Tensor)}
    return {"observations": dict(storage.observations.items()), "actions": storage.actions.clone(), **estimates}
