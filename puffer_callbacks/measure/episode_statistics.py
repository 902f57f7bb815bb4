"""Statistics of finished episodes, over all ranks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from puffer_callbacks.rollout import Rollout

Floats = NDArray[np.float64]

_QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
_SUCCESS = ("success", "is_success")


class EpisodeMetric(Metric):
    """A torchmetrics metric of episode returns and lengths and the critic's fit, gathered over ranks.

    ``compute`` returns a mapping from tag to 0-d tensor, the same that one process would compute from the rollouts
    of all ranks.

    Example:
        >>> metric = EpisodeMetric()
        >>> zeros = torch.zeros(2, 1)
        >>> rollout = Rollout(zeros, zeros, zeros, zeros, episode_returns=torch.tensor([1.0, 3.0]))
        >>> metric.update(rollout)
        >>> metric.compute()["train/reward"].item()
        2.0
    """

    full_state_update = False
    returns: list[Tensor]
    lengths: list[Tensor]
    fit: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("returns", [], dist_reduce_fx="cat")
        self.add_state("lengths", [], dist_reduce_fx="cat")
        # count, mean and sum of squared deviations of the targets, then of the critic's errors
        self.add_state("fit", torch.zeros(6, dtype=torch.float64), dist_reduce_fx=merge_moments)

    @property
    def dtype(self) -> torch.dtype:
        """float64, also for the empty tensor that a rank without a rollout sends."""
        return torch.float64

    @property
    def update_called(self) -> bool:
        """True, so that torchmetrics does not warn on a rank without a rollout."""
        return True

    def update(self, rollout: Rollout) -> None:
        """Add the episodes of a rollout."""
        episodes = Episodes.of(rollout)
        self.returns.append(torch.from_numpy(episodes.returns).to(self.device))
        self.lengths.append(torch.from_numpy(episodes.lengths).to(self.device))
        fresh = torch.from_numpy(episodes.fit).to(self.fit)
        self.fit = merge_moments(torch.stack([self.fit, fresh]))

    def compute(self) -> dict[str, Tensor]:
        """The statistics by tag; without a finished episode those of episodes are left out."""
        empty = torch.zeros(0, dtype=torch.float64)
        returns, lengths = (dim_zero_cat(state) if len(state) else empty for state in (self.returns, self.lengths))
        episodes = Episodes(_host(returns), _host(lengths), _host(self.fit))
        return {tag: torch.tensor(value, dtype=torch.float64) for tag, value in episodes.statistics().items()}


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
    def of(rollout: Rollout) -> "Episodes":
        """The finished episodes of a rollout."""
        returns, lengths = _host(rollout.episode_returns), _host(rollout.episode_lengths)
        targets, values = _host(rollout.returns), _host(rollout.values)
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
            mean = float(lengths.mean())
            found |= {"train/episode_length": mean, "rollout/episode_length_mean": mean}
        if left_out := self.returns.size - returns.size:
            found["nonfinite/rollout/return"] = float(left_out)
        if left_out := self.lengths.size - lengths.size:
            found["nonfinite/rollout/episode_length"] = float(left_out)
        if self.fit[0] > 0 and self.fit[2] > 0:
            found["diagnostics/explained_variance"] = float(1 - self.fit[5] / self.fit[2])
        return found


def _finite(numbers: Floats) -> Floats:
    finite = np.isfinite(numbers)
    return numbers if finite.all() else numbers[finite]


def return_statistics(returns: Floats) -> dict[str, float]:
    """Mean and quantiles of undiscounted episode returns [E], with NumPy's linear interpolation."""
    mean, ordered = float(returns.mean()), np.sort(returns).tolist()
    statistics = {"train/reward": mean, "rollout/return_mean": mean}
    for name, share in _QUANTILES.items():
        position = share * (len(ordered) - 1)
        low = int(position)
        above = ordered[min(low + 1, len(ordered) - 1)]
        statistics[f"rollout/return_{name}"] = ordered[low] + (above - ordered[low]) * (position - low)
    return statistics


def _host(tensor: Tensor | None) -> Floats:
    """A tensor as flat float64 on the host."""
    if tensor is None:
        return np.zeros(0)
    if tensor.is_complex():
        raise TypeError(f"expected real numbers as returns, lengths and values, got {tensor.dtype}")
    numbers: Floats = tensor.detach().double().cpu().resolve_neg().numpy().reshape(-1)
    return numbers


def info_sums(infos: Mapping[str, Tensor]) -> dict[str, Floats]:
    """Sum and count of each info's finite entries and count of the others [3], on the host; ranks add them up."""
    sums = {}
    for name, value in infos.items():
        numbers = _host(value)
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
