"""Values, advantages and returns of a rollout."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.collector import Trajectories
from puffer_callbacks.rollout import Rollout


@torch.no_grad()
def evaluate(
    policy: ActorCritic,
    trajectories: Trajectories,
    *,
    rewards: Tensor,
    gamma: float,
    gae_lambda: float,
    env_steps: int,
    action_space: Any,
) -> Rollout:
    """The rollout of the trajectories: their values, advantages and returns under the policy that collected them.

    All values, log probabilities and entropies come from one forward pass over the whole rollout, which is much
    cheaper than one at each step.

    Args:
        policy: unchanged since the trajectories were collected.
        trajectories: T steps of N environments, on the policy's device.
        rewards: [T, N], that the critic learns, perhaps scaled; the rollout keeps the raw ones.
        gamma: discount factor.
        gae_lambda: of generalized advantage estimation.
        env_steps: environment steps so far, these included.
        action_space: of one environment.
    """
    observations, dones = trajectories.observations[:-1], trajectories.dones
    shape = dones.shape
    distribution, values = policy(observations.flatten(0, 1))
    log_probs = distribution.log_prob(trajectories.actions.flatten(0, 1)).view(shape)
    values = values.view(shape)
    next_values = _next_values(policy, trajectories, values)
    advantages = generalized_advantages(rewards, values, next_values, dones, gamma=gamma, gae_lambda=gae_lambda)
    return Rollout(
        observations=observations,
        actions=trajectories.actions,
        rewards=trajectories.rewards,
        dones=dones,
        values=values,
        log_probs=log_probs,
        advantages=advantages,
        returns=advantages + values,
        entropy=distribution.entropy().view(shape),
        episode_returns=trajectories.episode_returns,
        episode_lengths=trajectories.episode_lengths,
        infos=trajectories.infos,
        env_steps=env_steps,
        action_space=action_space,
    )


def _next_values(policy: ActorCritic, trajectories: Trajectories, values: Tensor) -> Tensor:
    """The value after each step: 0 after a termination, that of the final observation after a truncation."""
    following = torch.cat([values[1:], policy.value(trajectories.observations[-1]).unsqueeze(0)])
    following = following.masked_fill(trajectories.dones, 0.0)
    if trajectories.final_observations is not None:
        following[trajectories.truncated] = policy.value(trajectories.final_observations)
    return following


def generalized_advantages(
    rewards: Tensor, values: Tensor, next_values: Tensor, dones: Tensor, *, gamma: float, gae_lambda: float
) -> Tensor:
    """Advantages by generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, equation 16).

    With d_t = r_t + gamma * next_value_t - value_t, A_t = d_t + gamma * lambda * (1 - done_t) * A_{t+1}.
    ``next_values`` carries how an episode ended: 0 where it terminated, the critic's value of the final
    observation where it was truncated, so that a time limit does not look like a failure.

    Args:
        rewards: [T, N].
        values: [T, N], the critic's value of each observation.
        next_values: [T, N], the value after each action (at the end of an episode, see above).
        dones: [T, N], true where the episode ended at this step; no advantage flows back over such a step.
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
