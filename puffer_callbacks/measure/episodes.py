"""What the finished episodes of all ranks say together."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from puffer_callbacks.rollout import Rollout

_QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1.0}
_SUCCESS = ("success", "is_success")


class EpisodeMetric(Metric):
    """Returns and lengths of finished episodes and the critic's fit, gathered over ranks by torchmetrics.

    ``compute`` gives what one process would on all ranks' rollouts together, as a mapping from tag to 0-d
    tensor.

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

    def update(self, rollout: Rollout) -> None:
        """Add a rollout."""
        if rollout.episode_returns is not None and len(rollout.episode_returns):
            self.returns.append(rollout.episode_returns.detach().double())
        if rollout.episode_lengths is not None and len(rollout.episode_lengths):
            self.lengths.append(rollout.episode_lengths.detach().double())
        if rollout.values is not None and rollout.returns is not None:
            returns = rollout.returns.detach().double()
            errors = returns - rollout.values.detach().double()
            finite = torch.isfinite(errors)
            fresh = torch.cat([moments(returns[finite]), moments(errors[finite])])
            self.fit = merge_moments(torch.stack([self.fit, fresh.to(self.fit.device)]))

    def compute(self) -> dict[str, Tensor]:
        """The statistics; those without a finished episode behind them are left out."""
        statistics: dict[str, Tensor] = {}
        if len(self.returns):
            returns, nonfinite = split_finite("rollout/return", dim_zero_cat(self.returns))
            statistics |= (return_statistics(returns) if len(returns) else {}) | nonfinite
        if len(self.lengths):
            lengths, nonfinite = split_finite("rollout/episode_length", dim_zero_cat(self.lengths))
            statistics |= (length_statistics(lengths) if len(lengths) else {}) | nonfinite
        if self.fit[0] > 0 and self.fit[2] > 0:
            statistics["diagnostics/explained_variance"] = 1 - self.fit[5] / self.fit[2]
        return statistics


def split_finite(tag: str, numbers: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """The finite numbers, and under ``nonfinite/<tag>`` how many are not, where there are any."""
    finite = numbers[torch.isfinite(numbers)]
    left_out = numbers.numel() - finite.numel()
    return finite, {f"nonfinite/{tag}": torch.tensor(float(left_out))} if left_out else {}


def length_statistics(lengths: Tensor) -> dict[str, Tensor]:
    """Mean of episode lengths [E]."""
    mean = lengths.mean()
    return {"train/episode_length": mean, "rollout/episode_length_mean": mean}


def return_statistics(returns: Tensor) -> dict[str, Tensor]:
    """Mean and quantiles of undiscounted episode returns [E], linearly interpolated as NumPy's."""
    order = torch.tensor(list(_QUANTILES.values()), dtype=returns.dtype, device=returns.device)
    quantiles = torch.quantile(returns, order)
    mean = returns.mean()
    statistics = {f"rollout/return_{name}": quantiles[at] for at, name in enumerate(_QUANTILES)}
    return {"train/reward": mean, "rollout/return_mean": mean, **statistics}


def info_sums(infos: Mapping[str, Tensor]) -> dict[str, NDArray[np.float64]]:
    """Sum and number of each info's finite entries, and number of the others, on the host: they add up."""
    sums = {}
    for name, value in infos.items():
        numbers = value.detach().reshape(-1).double().cpu().numpy()
        finite = numbers[np.isfinite(numbers)]
        sums[name] = np.array([finite.sum(), finite.size, numbers.size - finite.size])
    return sums


def info_statistics(sums: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Means of the infos under their tags, and the success rate where an environment tells of success."""
    means = {name: float(total / count) for name, (total, count, _) in sums.items() if count}
    statistics = {f"rollout/info/{name}": mean for name, mean in means.items()}
    for name in _SUCCESS:
        if name in means:
            statistics["rollout/success_rate"] = means[name]
    left_out = {
        f"nonfinite/rollout/info/{name}": float(count) for name, (_, _, count) in sums.items() if count
    }
    return statistics | left_out


def moments(numbers: Tensor) -> Tensor:
    """Count, mean and sum of squared deviations [3] of numbers."""
    if not numbers.numel():
        return torch.zeros(3, dtype=torch.float64, device=numbers.device)
    mean = numbers.mean()
    count = torch.tensor(float(numbers.numel()), dtype=torch.float64, device=numbers.device)
    return torch.stack([count, mean, (numbers - mean).square().sum()])


def merge_moments(parts: Tensor) -> Tensor:
    """Merge rows of moments [R, 3·K] into one [3·K] (Chan, Golub and LeVeque 1979, equation 2.1)."""
    count, mean, squares = parts.reshape(len(parts), -1, 3).unbind(-1)
    total = count.sum(0)
    merged_mean = (count * mean).sum(0) / total.clamp(min=1)
    merged_squares = (squares + count * (mean - merged_mean).square()).sum(0)
    return torch.stack([total, merged_mean, merged_squares], -1).reshape(-1)
