"""Finished episodes, counted where a library does not report them."""

import torch
from torch import Tensor


class EpisodeCounter:
    """Counts returns and lengths from rewards and dones, environment by environment, across rollouts.

    Example:
        >>> counter = EpisodeCounter()
        >>> counter.count(torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[0], [1], [0]]))
        (tensor([3.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
        >>> counter.count(torch.tensor([[8.0]]), torch.tensor([[1]]))
        (tensor([12.], dtype=torch.float64), tensor([2.], dtype=torch.float64))
    """

    def __init__(self) -> None:
        self._open: Tensor | None = None

    def count(self, rewards: Tensor, dones: Tensor) -> tuple[Tensor, Tensor]:
        """The episodes that these steps finish.

        Args:
            rewards: [T, N].
            dones: [T, N], non-zero where an episode ended at this step.

        Returns:
            Undiscounted returns and lengths in steps, each [E], on the CPU, those of an environment together.
        """
        rewards, ends = rewards.detach().t().cpu().double(), dones.detach().t().cpu().bool()  # [N, T]
        last_step = torch.zeros_like(ends)
        last_step[:, -1] = True
        closes = ends | last_step  # an episode, or the part of one that goes on in the next rollout
        part = (closes.flatten().cumsum(0) - closes.flatten().long()).view_as(ends)
        steps = torch.stack([rewards, torch.ones_like(rewards)], -1).flatten(0, 1)
        totals = steps.new_zeros(int(part.max()) + 1, 2).index_add_(0, part.flatten(), steps)  # [parts, 2]
        if self._open is not None:
            totals[part[:, 0]] += self._open
        self._open = torch.where(ends[:, -1:], 0.0, totals[part[:, -1]])
        returns, lengths = totals[ends[closes]].unbind(-1)
        return returns, lengths
