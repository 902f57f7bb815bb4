"""``RolloutStatistics``: statistics of a rollout's finished episodes, its infos and its critic."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from puffer_callbacks.measure.episode_counter import EpisodeCounter, Floats, to_numpy
from puffer_callbacks.rollout import Rollout

_QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
_SUCCESS = ("success", "is_success")
_ROUNDING = 1e-7
"""Of float32: targets that spread by no more of their mean, or of the errors, are one number."""


@dataclass(frozen=True, eq=False)
class RolloutStatistics:
    """What is kept of a rollout, on the host: ``pool`` computes statistics of one or several, of any rank.

    Args:
        returns: undiscounted returns of the finished episodes [E].
        lengths: their lengths in steps [E].
        critic: count, mean and sum of squared deviations of the critic's targets, then of its errors [6].
        infos: for each info the sum and the number of its finite entries, and the number of the others [3].

    Example:
        >>> import torch
        >>> zeros = torch.zeros(2, 1)
        >>> two = [Rollout(zeros, zeros, zeros, zeros, episode_returns=torch.tensor([x])) for x in (1.0, 3.0)]
        >>> pool([RolloutStatistics.of(rollout) for rollout in two])["train/reward"]
        2.0
    """

    returns: Floats
    lengths: Floats
    critic: Floats
    infos: Mapping[str, Floats]

    @staticmethod
    def of(rollout: Rollout, counter: EpisodeCounter | None = None) -> "RolloutStatistics":
        """The statistics of a rollout whose infos are dense real tensors.

        Args:
            rollout: a rollout of this process.
            counter: carries unfinished episodes from rollout to rollout, where they have to be counted.
        """
        returns, lengths = (each.copy() for each in (counter or EpisodeCounter()).finished(rollout))  # to be kept
        critic = _critic_moments(to_numpy(rollout.returns), to_numpy(rollout.values))
        return RolloutStatistics(returns, lengths, critic, info_sums(rollout.infos or {}))

    def to_json(self) -> list[Any]:
        """Plain lists and numbers, for other ranks."""
        arrays = [self.returns.tolist(), self.lengths.tolist(), self.critic.tolist()]
        return [arrays, {name: sums.tolist() for name, sums in self.infos.items()}]

    @staticmethod
    def from_json(state: list[Any]) -> "RolloutStatistics":
        """The inverse of ``to_json``."""
        arrays, infos = state
        returns, lengths, critic = (np.array(each, np.float64) for each in arrays)
        return RolloutStatistics(returns, lengths, critic, {name: np.array(sums) for name, sums in infos.items()})

    def scalars(self) -> dict[str, float]:
        """Tag to value; statistics of no data are left out, non-finite values are excluded and counted."""
        found: dict[str, float] = {}
        returns, lengths = _finite(self.returns), _finite(self.lengths)
        if returns.size:
            found |= _return_statistics(returns)
        if lengths.size:
            mean = _mean(lengths)
            found |= {"train/episode_length": mean, "rollout/episode_length_mean": mean}
        if left_out := self.returns.size - returns.size:
            found["nonfinite/rollout/return"] = float(left_out)
        if left_out := self.lengths.size - lengths.size:
            found["nonfinite/rollout/episode_length"] = float(left_out)
        count, mean, squares, _, _, errors = self.critic
        if squares > _ROUNDING**2 * (count * mean**2 + errors):
            found["diagnostics/explained_variance"] = float(1 - errors / squares)
        return found | info_statistics(self.infos)


def pool(rollouts: Sequence[RolloutStatistics]) -> dict[str, float]:
    """Tag to statistic over all episodes of the rollouts, as if they were one."""
    if len(rollouts) == 1:
        return rollouts[0].scalars()
    returns, lengths = (np.concatenate([getattr(each, name) for each in rollouts]) for name in ("returns", "lengths"))
    infos: dict[str, Floats] = {}
    for rollout in rollouts:
        for name, sums in rollout.infos.items():
            infos[name] = infos[name] + sums if name in infos else sums
    critic = _merge_moments(np.stack([each.critic for each in rollouts]))
    return RolloutStatistics(returns, lengths, critic, infos).scalars()


def info_sums(infos: Mapping[str, Tensor]) -> dict[str, Floats]:
    """Sum and count of each info's finite entries and count of the others [3], on the host; ranks add them up."""
    sums = {}
    for name, value in infos.items():
        numbers = to_numpy(value)
        finite = _finite(numbers)
        sums[name] = np.array([finite.sum(), finite.size, numbers.size - finite.size])
    return sums


def info_statistics(sums: Mapping[str, Floats]) -> dict[str, float]:
    """Means of the infos under their tags, and the success rate if an info reports success."""
    means = {name: float(total / count) for name, (total, count, _) in sums.items() if count}
    statistics = {f"rollout/info/{name}": mean for name, mean in means.items()}
    for name in _SUCCESS:
        if name in means:
            statistics["rollout/success_rate"] = means[name]
    left_out = {f"nonfinite/rollout/info/{name}": float(count) for name, (_, _, count) in sums.items() if count}
    return statistics | left_out


def _return_statistics(returns: Floats) -> dict[str, float]:
    """Mean and quantiles of undiscounted episode returns [E], with NumPy's linear interpolation."""
    mean, ordered = _mean(returns), sorted(returns.tolist())
    statistics = {"train/reward": mean, "rollout/return_mean": mean}
    for name, share in _QUANTILES.items():
        position = share * (len(ordered) - 1)
        low = int(position)
        above = ordered[min(low + 1, len(ordered) - 1)]
        statistics[f"rollout/return_{name}"] = ordered[low] + (above - ordered[low]) * (position - low)
    return statistics


def _critic_moments(targets: Floats, values: Floats) -> Floats:
    """The moments of the critic's targets and of its errors [6], over the steps at which both are finite."""
    if targets.size != values.size:
        return np.zeros(6)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, which is excluded below
        errors = targets - values
        found = _moments(targets) + _moments(errors)
    if not math.isfinite(sum(found)):
        finite = np.isfinite(errors)
        found = _moments(targets[finite]) + _moments(errors[finite])
    return np.array(found)


def _moments(numbers: Floats) -> list[float]:
    """Count, mean and sum of squared deviations of numbers [n]."""
    if not numbers.size:
        return [0.0, 0.0, 0.0]
    mean = np.add.reduce(numbers) / numbers.size
    deviations = numbers - mean
    return [float(numbers.size), float(mean), float(deviations @ deviations)]


def _merge_moments(parts: Floats) -> Floats:
    """Merge rows of moments [R, 3·K] into one [3·K] (Chan, Golub and LeVeque 1979, equation 2.1)."""
    count, mean, squares = np.moveaxis(parts.reshape(len(parts), -1, 3), -1, 0)
    total = count.sum(0)
    merged_mean = (count * mean).sum(0) / np.maximum(total, 1)
    merged_squares = (squares + count * np.square(mean - merged_mean)).sum(0)
    return np.stack([total, merged_mean, merged_squares], -1).reshape(-1)


def _mean(numbers: Floats) -> float:
    """Of at least one number; several times as fast as ``numbers.mean()`` for the few of a rollout."""
    return float(np.add.reduce(numbers)) / numbers.size


def _finite(numbers: Floats) -> Floats:
    finite = np.isfinite(numbers)
    return numbers if np.logical_and.reduce(finite) else numbers[finite]
