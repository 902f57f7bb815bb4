"""Running normalization of observations and rewards."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn


class RunningMoments(nn.Module):
    """Running mean and variance, in buffers, so that a checkpoint carries them.

    Args:
        shape: of one value.

    Example:
        >>> moments = RunningMoments((1,))
        >>> moments.update(torch.tensor([[1.0], [3.0]]))
        >>> moments(torch.tensor([[3.0]])).round(decimals=3).item()
        1.0
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("var", torch.ones(shape))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        """Values [B, *shape] of mean 0 and variance 1, clipped to ±10."""
        return ((values - self.mean) * (self.var + 1e-8).rsqrt()).clamp(-10, 10)

    @torch.no_grad()
    def update(self, values: Tensor, *, gather: Callable[[Tensor], Tensor] | None = None) -> None:
        """Update the moments with a batch.

        Args:
            values: [B, *shape].
            gather: all ranks' copies [R, ...] of a tensor, where several ranks must keep the same moments.
        """
        var, mean = torch.var_mean(values.float(), dim=0, correction=0)
        moments = torch.stack([torch.full_like(mean, len(values)), mean, var])
        for part in moments.unsqueeze(0) if gather is None else gather(moments):
            self._merge(*part)

    def _merge(self, count: Tensor, mean: Tensor, var: Tensor) -> None:
        """Chan et al. 1979, "Updating formulae and a pairwise algorithm for computing sample variances"."""
        total = self.count + count
        share, apart = count / total, mean - self.mean
        self.var.copy_(self.var * (1 - share) + var * share + apart.square() * share * (1 - share))
        self.mean.add_(apart * share)
        self.count.add_(count.max())


class RewardScaler(RunningMoments):
    """Divides rewards by the standard deviation of their discounted sums (arXiv:2005.12729, section 3).

    Args:
        gamma: discount factor of the sums.
        num_envs: N; the sums of unfinished episodes go on in the next rollout, and start at 0 after a resume.
    """

    def __init__(self, *, gamma: float, num_envs: int) -> None:
        super().__init__(())
        self.gamma = gamma
        self._sums = np.zeros(num_envs, np.float32)

    def scale(self, rewards: Tensor, dones: Tensor, *, gather: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Rewards [T, N], scaled by all sums so far, these included, and clipped to ±10."""
        sums = np.empty(rewards.shape, np.float32)
        for t, (reward, done) in enumerate(zip(rewards.cpu().numpy(), dones.cpu().numpy(), strict=True)):
            self._sums = sums[t] = self.gamma * self._sums + reward
            self._sums = self._sums * ~done
        self.update(torch.from_numpy(sums).flatten().to(rewards.device), gather=gather)
        return (rewards * (self.var + 1e-8).rsqrt()).clamp(-10, 10)
