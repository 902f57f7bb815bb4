"""PPO in one file, in the structure of CleanRL's ppo.py, with a ``Loop``."""

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical

from puffer_callbacks import Rollout
from puffer_callbacks.adapters import Loop

ARGS = {
    "total_timesteps": 2048,
    "num_envs": 4,
    "num_steps": 64,
    "num_minibatches": 4,
    "update_epochs": 2,
    "lr": 2.5e-3,
    "seed": 1,
}
GAMMA, GAE_LAMBDA, CLIP_COEF, ENT_COEF, VF_COEF, MAX_GRAD_NORM = 0.99, 0.95, 0.2, 0.01, 0.5, 0.5


class Agent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 1))
        self.actor = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 2))

    def get_action_and_value(self, x: Any, action: Any = None) -> Any:
        probs = Categorical(logits=self.actor(x))
        action = probs.sample() if action is None else action
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


def train(loop: Loop | None, **overrides: Any) -> Agent:
    """Train on CartPole, recorded by ``loop`` unless it is ``None``."""
    args = {**ARGS, **overrides}
    num_envs, num_steps = args["num_envs"], args["num_steps"]
    torch.manual_seed(args["seed"])
    envs = gym.wrappers.vector.RecordEpisodeStatistics(gym.make_vec("CartPole-v1", num_envs=num_envs))
    agent = Agent()
    optimizer = torch.optim.Adam(agent.parameters(), lr=args["lr"], eps=1e-5)
    if loop is not None:
        loop.fit_start(agent, args)

    obs = torch.zeros(num_steps, num_envs, 4)
    actions, logprobs, rewards, dones, values = (torch.zeros(num_steps, num_envs) for _ in range(5))
    global_step = 0
    next_obs = torch.tensor(envs.reset(seed=args["seed"])[0])
    for _ in range(args["total_timesteps"] // (num_envs * num_steps)):
        returns, lengths = [], []
        for step in range(num_steps):
            global_step += num_envs
            obs[step] = next_obs
            with torch.no_grad():
                actions[step], logprobs[step], _, value = agent.get_action_and_value(next_obs)
            values[step] = value.flatten()
            next_obs, reward, terminated, truncated, infos = envs.step(actions[step].long().numpy())
            next_obs, rewards[step] = torch.tensor(next_obs), torch.tensor(reward)
            dones[step] = torch.tensor(np.logical_or(terminated, truncated))
            if "episode" in infos:
                returns += infos["episode"]["r"][infos["_episode"]].tolist()
                lengths += infos["episode"]["l"][infos["_episode"]].tolist()

        with torch.no_grad():
            next_value = agent.critic(next_obs).flatten()
            advantages, last = torch.zeros_like(rewards), torch.zeros(num_envs)
            for t in reversed(range(num_steps)):
                following = next_value if t == num_steps - 1 else values[t + 1]
                delta = rewards[t] + GAMMA * following * (1 - dones[t]) - values[t]
                advantages[t] = last = delta + GAMMA * GAE_LAMBDA * (1 - dones[t]) * last
        targets = advantages + values
        if loop is not None:
            loop.rollout_end(
                Rollout(
                    *(
                        obs.clone(),
                        actions.long(),
                        rewards.clone(),
                        dones.bool(),
                        values.clone(),
                        logprobs.clone(),
                    ),
                    advantages=advantages,
                    returns=targets,
                    episode_returns=torch.tensor(returns),
                    episode_lengths=torch.tensor(lengths),
                    env_steps=global_step,
                )
            )

        batch = [x.flatten(0, 1) for x in (obs, actions, logprobs, advantages, targets)]
        for _ in range(args["update_epochs"]):
            for index in torch.randperm(num_envs * num_steps).chunk(args["num_minibatches"]):
                b_obs, b_actions, b_logprobs, b_advantages, b_targets = (x[index] for x in batch)
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs, b_actions)
                logratio = newlogprob - b_logprobs
                ratio = logratio.exp()
                b_advantages = (b_advantages - b_advantages.mean()) / (b_advantages.std() + 1e-8)
                clipped = ratio.clamp(1 - CLIP_COEF, 1 + CLIP_COEF)
                pg_loss = torch.max(-b_advantages * ratio, -b_advantages * clipped).mean()
                v_loss = 0.5 * (newvalue.flatten() - b_targets).square().mean()
                entropy_loss = entropy.mean()
                loss = pg_loss - ENT_COEF * entropy_loss + VF_COEF * v_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), MAX_GRAD_NORM)
                optimizer.step()
                if loop is not None:
                    metrics = {
                        "loss": loss,
                        "policy_loss": pg_loss,
                        "value_loss": v_loss,
                        "entropy": entropy_loss,
                    }
                    loop.step({**metrics, "approx_kl": ((ratio - 1) - logratio).mean()})
    envs.close()
    if loop is not None:
        loop.close()
    return agent
