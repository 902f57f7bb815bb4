"""The statistics of one rollout, in a form that pools over rollouts and over ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.measure.episode_counter import EpisodeCounter
from puffer_callbacks.measure.episode_statistics import Episodes, info_statistics, info_sums, merge_moments
from puffer_callbacks.rollout import Rollout


@dataclass(frozen=True, eq=False)
class RolloutStatistics:
    """What is kept of a rollout.

    Args:
        episodes: its finished episodes and the critic's fit.
        infos: for each info the sum and the number of its finite entries, and the number of the others [3].

    Example:
        >>> zeros = torch.zeros(2, 1)
        >>> two = [Rollout(zeros, zeros, zeros, zeros, episode_returns=torch.tensor([x])) for x in (1.0, 3.0)]
        >>> pool([RolloutStatistics.of(rollout) for rollout in two])["train/reward"]
        2.0
    """

    episodes: Episodes
    infos: dict[str, NDArray[np.float64]]

    @staticmethod
    def of(rollout: Rollout, counter: EpisodeCounter | None = None) -> "RolloutStatistics":
        """The statistics of a rollout whose infos are dense real tensors.

        Args:
            rollout: a rollout of this process.
            counter: carries unfinished episodes from rollout to rollout, where they have to be counted.
        """
        return RolloutStatistics(Episodes.of(rollout, counter), info_sums(rollout.infos or {}))

    def to_json(self) -> list[Any]:
        """Plain lists and numbers, for other ranks."""
        episodes = [self.episodes.returns.tolist(), self.episodes.lengths.tolist(), self.episodes.fit.tolist()]
        return [episodes, {name: sums.tolist() for name, sums in self.infos.items()}]

    @staticmethod
    def from_json(state: list[Any]) -> "RolloutStatistics":
        """The inverse of ``to_json``."""
        episodes, infos = state
        arrays = [np.array(part, np.float64) for part in episodes]
        return RolloutStatistics(Episodes(*arrays), {name: np.array(sums) for name, sums in infos.items()})


def pool(rollouts: Sequence[RolloutStatistics]) -> dict[str, float]:
    """Tag to statistic over all episodes of the rollouts, as if they were one."""
    infos: dict[str, NDArray[np.float64]] = {}
    for rollout in rollouts:
        for name, sums in rollout.infos.items():
            infos[name] = infos[name] + sums if name in infos else sums
    episodes = rollouts[0].episodes if len(rollouts) == 1 else _pooled([each.episodes for each in rollouts])
    return episodes.statistics() | info_statistics(infos)


def _pooled(episodes: list[Episodes]) -> Episodes:
    returns, lengths = (np.concatenate([getattr(each, name) for each in episodes]) for name in ("returns", "lengths"))
    fit = merge_moments(torch.from_numpy(np.stack([each.fit for each in episodes]))).numpy()
    return Episodes(returns, lengths, fit)
