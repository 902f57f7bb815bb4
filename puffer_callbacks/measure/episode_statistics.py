"""Statistics of finished episodes and of the critic's fit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.measure.episode_counter import EpisodeCounter, Floats, to_numpy
from puffer_callbacks.rollout import Rollout

_QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
_SUCCESS = ("success", "is_success")


@dataclass(frozen=True, eq=False)
class Episodes:
    """The finished episodes of a rollout and the critic's fit, on the host.

    Args:
        returns: undiscounted returns [E].
        lengths: in steps [E].
        fit: count, mean and sum of squared deviations of the critic's targets, then of its errors [6].
    """

    returns: Floats
    lengths: Floats
    fit: Floats

    @staticmethod
    def of(rollout: Rollout, counter: EpisodeCounter | None = None) -> "Episodes":
        """The finished episodes of a rollout; ``counter`` carries the unfinished ones from the rollout before."""
        returns, lengths = (each.copy() for each in (counter or EpisodeCounter()).finished(rollout))  # to be kept
        targets, values = to_numpy(rollout.returns), to_numpy(rollout.values)
        if targets.size != values.size:
            return Episodes(returns, lengths, np.zeros(6))
        with np.errstate(invalid="ignore"):  # ∞ − ∞ is NaN, which is excluded below
            errors = targets - values
            fit = moments(targets) + moments(errors)
        if not math.isfinite(sum(fit)):
            finite = np.isfinite(errors)
            fit = moments(targets[finite]) + moments(errors[finite])
        return Episodes(returns, lengths, np.array(fit))

    def statistics(self) -> dict[str, float]:
        """Tag to value; statistics of no data are left out, non-finite values are excluded and counted."""
        found: dict[str, float] = {}
        returns, lengths = _finite(self.returns), _finite(self.lengths)
        if returns.size:
            found |= return_statistics(returns)
        if lengths.size:
            mean = _mean(lengths)
            found |= {"train/episode_length": mean, "rollout/episode_length_mean": mean}
        if left_out := self.returns.size - returns.size:
            found["nonfinite/rollout/return"] = float(left_out)
        if left_out := self.lengths.size - lengths.size:
            found["nonfinite/rollout/episode_length"] = float(left_out)
        if self.fit[0] > 0 and self.fit[2] > 0:
            found["diagnostics/explained_variance"] = float(1 - self.fit[5] / self.fit[2])
        return found


def _mean(numbers: Floats) -> float:
    """Of at least one number; several times as fast as ``numbers.mean()`` for the few of a rollout."""
    return float(np.add.reduce(numbers)) / numbers.size


def _finite(numbers: Floats) -> Floats:
    finite = np.isfinite(numbers)
    return numbers if np.logical_and.reduce(finite) else numbers[finite]


def return_statistics(returns: Floats) -> dict[str, float]:
    """Mean and quantiles of undiscounted episode returns [E], with NumPy's linear interpolation."""
    mean, ordered = _mean(returns), sorted(returns.tolist())
    statistics = {"train/reward": mean, "rollout/return_mean": mean}
    for name, share in _QUANTILES.items():
        position = share * (len(ordered) - 1)
        low = int(position)
        above = ordered[min(low + 1, len(ordered) - 1)]
        statistics[f"rollout/return_{name}"] = ordered[low] + (above - ordered[low]) * (position - low)
    return statistics


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


def moments(numbers: Floats) -> list[float]:
    """Count, mean and sum of squared deviations of numbers [n]."""
    if not numbers.size:
        return [0.0, 0.0, 0.0]
    mean = np.add.reduce(numbers) / numbers.size
    deviations = numbers - mean
    return [float(numbers.size), float(mean), float(deviations @ deviations)]


def merge_moments(parts: Tensor) -> Tensor:
    """Merge rows of moments [R, 3·K] into one [3·K] (Chan, Golub and LeVeque 1979, equation 2.1)."""
    count, mean, squares = parts.reshape(len(parts), -1, 3).unbind(-1)
    total = count.sum(0)
    merged_mean = (count * mean).sum(0) / total.clamp(min=1)
    merged_squares = (squares + count * (mean - merged_mean).square()).sum(0)
    return torch.stack([total, merged_mean, merged_squares], -1).reshape(-1)
