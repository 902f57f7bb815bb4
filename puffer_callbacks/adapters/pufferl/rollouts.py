"""PuffeRL's buffers, as a ``Rollout``."""

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.rollout import Rollout

UNREPORTED = (
    "expected an episode_return from the environments, got none; wrap each environment in pufferlib.EpisodeStats"
)
_REPORTED_WITHIN = 10
"""Rollouts with a finished episode within which an environment reports its first statistics."""


def from_buffers(trainer: Any, stats: Mapping[str, Tensor], *, env_steps: int) -> Rollout | None:
    """The rollout that the trainer has just collected.

    The buffers are [segments, horizon]. At each step they hold an observation, the action that it led to,
    and the reward and the end of an episode that came *with* the observation, that is of the action before.
    Aligned, there is one step less than the horizon: the reward of the last action comes with the next rollout.

    Args:
        trainer: a PuffeRL trainer after ``evaluate()``.
        stats: what its environments reported meanwhile.
        env_steps: agent steps so far.

    Returns:
        The rollout, or ``None`` for a horizon of one step. Its observations are the trainer's own memory,
        to be read before the next ``evaluate()``; all else is copied.
    """
    if trainer.rewards.shape[1] < 2:
        return None
    values, advantages = _all_but_last(trainer.values), _advantages(trainer)
    return Rollout(
        observations=trainer.observations[:, :-1].transpose(0, 1),
        actions=_all_but_last(trainer.actions),
        rewards=trainer.rewards[:, 1:].t().clone(),
        dones=trainer.terminals[:, 1:].t().bool(),
        values=values,
        log_probs=_all_but_last(trainer.logprobs),
        advantages=advantages,
        returns=None if advantages is None else advantages + values,
        env_steps=env_steps,
        action_space=trainer.vecenv.single_action_space,
        **_episodes(stats),
    )


def finished_episodes(trainer: Any, stats: Mapping[str, Tensor], *, env_steps: int) -> Rollout | None:
    """The episodes of a rollout that was cut short, or ``None`` where the environments reported none.

    Args:
        trainer: the trainer.
        stats: what its environments reported meanwhile.
        env_steps: agent steps so far.
    """
    return Rollout(env_steps=env_steps, **_episodes(stats)) if "episode_return" in stats else None


class UnreportedEpisodes:
    """Notices environments that end episodes and report no returns."""

    def __init__(self) -> None:
        self._rollouts = 0

    def update(self, rollout: Rollout) -> bool:
        """Add a rollout.

        Returns:
            Whether it is time to warn: once, after so many rollouts with a finished episode that an environment
            with statistics of its own would have reported one.
        """
        if self._rollouts >= _REPORTED_WITHIN or rollout.episode_returns is None or rollout.dones is None:
            return False
        if len(rollout.episode_returns):
            self._rollouts = _REPORTED_WITHIN
            return False
        self._rollouts += bool(rollout.dones.any())
        return self._rollouts == _REPORTED_WITHIN


def fresh_stats(stats: Mapping[str, Any], seen: Mapping[str, int]) -> dict[str, Tensor]:
    """The numbers that each list of statistics has gained.

    Args:
        stats: name to list; entries that are no numbers are skipped.
        seen: how long each list was.

    Example:
        >>> fresh_stats({"score": [1.0, 2.0, 3.0], "level": ["a"]}, {"score": 1})
        {'score': tensor([2., 3.], dtype=torch.float64)}
    """
    fresh = {}
    for name, values in stats.items():
        new = values[seen.get(name, 0) :] if isinstance(values, list) else []
        try:
            numbers = np.asarray(new, dtype=np.float64).reshape(-1)
        except (TypeError, ValueError):
            continue
        if numbers.size:
            fresh[name] = torch.from_numpy(numbers)
    return fresh


def lengths(stats: Mapping[str, Any]) -> dict[str, int]:
    """How long each list of statistics is."""
    return {name: len(values) for name, values in stats.items() if isinstance(values, list)}


def _all_but_last(buffer: Tensor) -> Tensor:
    return buffer[:, :-1].transpose(0, 1).clone()


def _advantages(trainer: Any) -> Tensor | None:
    """[T, N], by the trainer's own function: the first minibatch is drawn from them."""
    modules = (sys.modules.get(kind.__module__) for kind in type(trainer).__mro__)
    compute = next((f for f in (getattr(m, "compute_puff_advantage", None) for m in modules) if f), None)
    if compute is None:
        return None
    ones, zeros = torch.ones_like(trainer.values), torch.zeros_like(trainer.values)
    factors = (trainer.config[name] for name in ("gamma", "gae_lambda", "vtrace_rho_clip", "vtrace_c_clip"))
    return _all_but_last(compute(trainer.values, trainer.rewards, trainer.terminals, ones, zeros, *factors))


def _episodes(stats: Mapping[str, Tensor]) -> dict[str, Any]:
    """The episode fields of a rollout, from statistics by PuffeRL's names.

    Where the environments report none, there are none: the buffers' rewards are clamped to [-1, 1], so returns
    counted from them would not be true.
    """
    infos = dict(stats)
    returns = infos.pop("episode_return", torch.zeros(0, dtype=torch.float64))
    lengths = infos.get("episode_length")
    if lengths is not None and len(lengths) == len(returns):  # else they are not of the same episodes
        del infos["episode_length"]
        return {"episode_returns": returns, "episode_lengths": lengths, "infos": infos}
    return {"episode_returns": returns, "infos": infos}
