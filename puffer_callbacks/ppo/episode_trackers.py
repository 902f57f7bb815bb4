"""Returns, lengths and ``info`` numbers of the episodes that end in a rollout."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class EpisodeTracker:
    """Returns and lengths of episodes that may span several rollouts.

    Args:
        num_envs: N.

    Example:
        >>> tracker = EpisodeTracker(1)
        >>> tracker.add(np.ones((3, 1)), np.array([[False], [True], [False]]))
        (array([2.]), array([2]))
        >>> tracker.add(np.ones((1, 1)), np.array([[True]]))
        (array([2.]), array([2]))
    """

    def __init__(self, num_envs: int) -> None:
        self._returns: Array = np.zeros(num_envs)
        self._lengths: Array = np.zeros(num_envs, np.int64)

    def add(self, rewards: Array, dones: Array) -> tuple[Array, Array]:
        """The undiscounted returns [E] and lengths [E] of the episodes that ended, in the order they ended.

        Args:
            rewards: [T, N].
            dones: [T, N].
        """
        returns: list[float] = []
        lengths: list[int] = []
        begin = 0
        for end in (np.flatnonzero(dones.any(1)) + 1).tolist():
            self._extend(rewards[begin:end])
            done, begin = dones[end - 1], end
            returns += self._returns[done].tolist()
            lengths += self._lengths[done].tolist()
            self._returns[done], self._lengths[done] = 0.0, 0
        self._extend(rewards[begin:])
        return np.array(returns, np.float64), np.array(lengths, np.int64)

    def _extend(self, rewards: Array) -> None:
        """Add steps in which no episode ends before the last."""
        self._returns += rewards.sum(0, dtype=np.float64)
        self._lengths += len(rewards)


class InfoTracker:
    """Numbers from the environments' ``info``, one for each episode that ended.

    Parts of the reward (names with "reward" in them) are summed over the episode; others are as at its end.

    Args:
        num_envs: N.
    """

    def __init__(self, num_envs: int) -> None:
        self._num_envs = num_envs
        self._sums: dict[str, Array] = {}
        self._finished: dict[str, list[float]] = {}

    def add(self, infos: Mapping[str, Any], ended: Array) -> None:
        """Take in one step's ``infos`` from environments that reset in the step that ends an episode.

        Args:
            infos: arrays [N] by name; those of ended episodes are in ``final_info``.
            ended: [N], which episodes ended.
        """
        final = infos.get("final_info", {})
        for source, here in ((infos, ~ended), (final, ended)):
            for name, numbers in _numbers(source):
                if "reward" in name:
                    self._sums.setdefault(name, np.zeros(self._num_envs))[here] += numbers[here]
        for name, numbers in _numbers(final):
            values = self._sums.get(name, numbers)
            self._finished.setdefault(name, []).extend(values[ended & final.get(f"_{name}", ended)].tolist())
        for sums in self._sums.values():
            sums[ended] = 0.0

    def pop(self) -> dict[str, list[float]]:
        """The numbers of the episodes that ended since the last call."""
        finished, self._finished = self._finished, {}
        return finished


def _numbers(infos: Mapping[str, Any]) -> list[tuple[str, Array]]:
    """The entries that hold one number for each environment."""
    return [
        (name, value.astype(np.float64))
        for name, value in infos.items()
        if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "bif" and name[0] != "_"
    ]
