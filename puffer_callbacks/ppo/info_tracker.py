"""``InfoTracker``: ``info`` numbers of the episodes that end in a rollout."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


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
