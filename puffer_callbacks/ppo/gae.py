"""Generalized advantage estimation, with time limits told apart from real ends."""

import numpy as np
import torch
from torch import Tensor


def generalized_advantages(
    rewards: Tensor, values: Tensor, next_values: Tensor, dones: Tensor, *, gamma: float, gae_lambda: float
) -> Tensor:
    """Advantages by generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    With d_t = r_t + gamma * next_value_t - value_t, A_t = d_t + gamma * lambda * (1 - done_t) * A_{t+1}.
    How an episode ended lies in ``next_values``: 0 where it terminated, the critic's value of the final
    observation where a time limit cut it, so that the cut does not look like a failure.

    Args:
        rewards: [T, N].
        values: [T, N], the critic's value of each observation.
        next_values: [T, N], the value of what followed each action (see above at an episode's end).
        dones: [T, N], true where the episode ended at this step; nothing flows back over such a step.
        gamma: discount factor.
        gae_lambda: 0 for one-step temporal differences, 1 for Monte Carlo returns.

    Returns:
        [T, N] float32, on the device of ``rewards``.

    Example:
        >>> one, zero = torch.ones(2, 1), torch.zeros(2, 1)
        >>> generalized_advantages(one, zero, zero, zero.bool(), gamma=0.5, gae_lambda=1.0).flatten().tolist()
        [1.5, 1.0]
    """
    advantages = (rewards + gamma * next_values - values).float().cpu().numpy()
    decay = (gamma * gae_lambda * ~dones).float().cpu().numpy()
    running = np.zeros_like(advantages[0])
    for t in reversed(range(len(advantages))):  # NumPy: a torch operation on [N] costs several times as much
        running = advantages[t] + decay[t] * running
        advantages[t] = running
    return torch.from_numpy(advantages).to(rewards.device)
