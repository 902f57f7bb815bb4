"""``EpisodeCounter``: counts episodes from rewards and dones, across rollouts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.rollout import Rollout

Floats = NDArray[np.float64]
_PLAIN = frozenset({torch.float32, torch.float64, torch.int64, torch.int32, torch.bool})


class EpisodeCounter:
    """A counter of episodes that carries each environment's unfinished episode to the next rollout.

    The carried returns and lengths are those of N environments; they start at zero, and again when N changes.

    Example:
        >>> counter = EpisodeCounter()
        >>> rewards, dones = torch.ones(3, 1), torch.tensor([[False], [True], [False]])
        >>> counter.finished(Rollout(rewards=rewards, dones=dones))
        (array([2.]), array([2.]))
        >>> counter.finished(Rollout(rewards=rewards, dones=dones))  # one step is carried over
        (array([3.]), array([3.]))
    """

    def __init__(self) -> None:
        self._returns = self._lengths = np.zeros(0)

    def finished(self, rollout: Rollout) -> tuple[Floats, Floats]:
        """Returns [E] and lengths [E] of the episodes that ended in a rollout, in the order of their ends.

        The rollout's ``episode_returns`` and ``episode_lengths`` come first where it has them; they are counted
        where it has ``rewards`` and ``dones`` but no ``episode_returns``.

        Args:
            rollout: the rollout that follows the one of the last call.

        Returns:
            Undiscounted returns and lengths in steps, in float64 on the host; both are empty without any of the
            fields.
        """
        returns, lengths = np.zeros(0), np.zeros(0)
        if rollout.episode_returns is not None:
            returns = to_numpy(rollout.episode_returns)
        elif rollout.rewards is not None and rollout.dones is not None:
            rewards, dones = (to_numpy(each).reshape(each.shape) for each in (rollout.rewards, rollout.dones))
            returns, lengths = self._count(rewards, dones != 0)
        if rollout.episode_lengths is not None:
            lengths = to_numpy(rollout.episode_lengths)
        return returns, lengths

    def _count(self, rewards: Floats, dones: NDArray[np.bool_]) -> tuple[Floats, Floats]:
        """Sum rewards [T, N] over segments: an environment with k dones has k finished ones and an open one."""
        envs = rewards.shape[1]
        if len(self._returns) != envs:
            self._returns, self._lengths = np.zeros(envs), np.zeros(envs)
        ends = dones.cumsum(0)
        open_segment = (dones.sum(0) + 1).cumsum() - 1
        first_segment = np.concatenate([[0], open_segment[:-1] + 1])[:envs]
        segments = (ends - dones + first_segment).ravel()
        count = int(open_segment[-1]) + 1 if envs else 0
        returns = np.bincount(segments, rewards.ravel(), count).astype(np.float64)  # integers without a step
        lengths = np.bincount(segments, minlength=count).astype(np.float64)
        returns[first_segment] += self._returns
        lengths[first_segment] += self._lengths
        self._returns, self._lengths = returns[open_segment], lengths[open_segment]
        finished = segments[dones.ravel()]
        return returns[finished], lengths[finished]

    def state_dict(self) -> dict[str, Any]:
        """The unfinished episodes, for a checkpoint."""
        return {"returns": self._returns.tolist(), "lengths": self._lengths.tolist()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the unfinished episodes of a checkpoint."""
        self._returns, self._lengths = (np.array(state[name], np.float64) for name in ("returns", "lengths"))


def to_numpy(tensor: Tensor | None) -> Floats:
    """A tensor of real numbers as flat float64 on the host; empty for ``None``.

    Raises:
        TypeError: if the numbers are complex.
    """
    if tensor is None:
        return np.zeros(0)
    if tensor.dtype in _PLAIN and tensor.device.type == "cpu" and not (tensor.requires_grad or tensor.is_neg()):
        return tensor.numpy().astype(np.float64, copy=False).reshape(-1)  # as nearly always: in two thirds of the time
    if tensor.is_complex():
        raise TypeError(f"expected real numbers as rewards, returns, lengths and values, got {tensor.dtype}")
    numbers: Floats = tensor.detach().cpu().double().resolve_neg().numpy().reshape(-1)
    return numbers
