"""DQN and SAC in one file, in the structure of CleanRL's dqn.py and sac_continuous_action.py, with a ``Loop``."""

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

from puffer_callbacks.adapters import Loop

TOTAL, LEARNING_STARTS, BATCH, GAMMA, TAU = 200, 40, 16, 0.99, 0.005
Weights = list[torch.Tensor]


class Replay:
    """The transitions of one environment."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []

    def sample(self) -> tuple[torch.Tensor, ...]:
        chosen = [self.steps[at] for at in np.random.randint(0, len(self.steps), BATCH)]
        return tuple(torch.as_tensor(np.array(column)).float() for column in zip(*chosen, strict=True))


def start(env_id: str) -> Any:
    np.random.seed(1)
    torch.manual_seed(1)
    env = gym.wrappers.RecordEpisodeStatistics(gym.make(env_id, max_episode_steps=30))
    env.action_space.seed(1)
    return env, env.reset(seed=1)[0]


def network(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 16), nn.ReLU(), nn.Linear(16, outputs))


def train_dqn(loop: Loop | None, losses: list[float]) -> Weights:
    """Train on CartPole, recorded by ``loop`` unless it is ``None``; each update's loss is added to ``losses``."""
    env, obs = start("CartPole-v1")
    q_network, replay, global_step = network(4, 2), Replay(), 0
    target_network = deepcopy(q_network)
    optimizer = torch.optim.Adam(q_network.parameters(), lr=2.5e-3)
    if loop is not None:
        loop.fit_start(q_network, {"gamma": GAMMA}, env_steps=lambda: global_step)
    for global_step in range(1, TOTAL + 1):  # the x axis reads it
        greedy = q_network(torch.as_tensor(obs)).argmax().item()
        action = env.action_space.sample() if np.random.rand() < 0.2 else greedy
        next_obs, reward, terminated, truncated, info = env.step(action)
        replay.steps.append((obs, next_obs, action, reward, terminated))
        obs = next_obs
        if terminated or truncated:
            obs = env.reset()[0]
            if loop is not None:
                loop.episodes(info["episode"]["r"], info["episode"]["l"])
        if global_step > LEARNING_STARTS and global_step % 2 == 0:
            b_obs, b_next, b_actions, b_rewards, b_dones = replay.sample()
            with torch.no_grad():
                target = b_rewards + GAMMA * target_network(b_next).max(1).values * (1 - b_dones)
            values = q_network(b_obs).gather(1, b_actions.long()[:, None]).squeeze(1)
            loss = mse_loss(target, values)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if loop is not None:
                loop.replay_batch(actions=b_actions, rewards=b_rewards, values=values)
                loop.step({"loss": loss})
        if global_step % 50 == 0:
            target_network.load_state_dict(q_network.state_dict())
    if loop is not None:
        loop.close()
    return list(q_network.parameters())


def train_sac(loop: Loop | None, losses: list[float]) -> Weights:
    """Train on Pendulum, two critics and a temperature; each update's critic loss is added to ``losses``."""
    env, obs = start("Pendulum-v1")
    actor, critics, replay, global_step = network(3, 2), nn.ModuleList([network(4, 1), network(4, 1)]), Replay(), 0
    targets, log_alpha = deepcopy(critics), torch.zeros(1, requires_grad=True)
    q_optimizer = torch.optim.Adam(critics.parameters(), lr=1e-3)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-4)
    a_optimizer = torch.optim.Adam([log_alpha], lr=1e-3)
    if loop is not None:
        trained = {"actor": actor, "critics": critics, "log_alpha": log_alpha}
        loop.fit_start(trained, {"gamma": GAMMA}, env_steps=lambda: global_step)

    def act(observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = actor(observations).chunk(2, -1)
        normal = torch.distributions.Normal(mean, log_std.clamp(-5, 2).exp())
        sample = normal.rsample()
        log_prob = normal.log_prob(sample) - torch.log(2 * (1 - sample.tanh().square()) + 1e-6)
        return 2 * sample.tanh(), log_prob.sum(-1, keepdim=True)

    for global_step in range(1, TOTAL + 1):  # the x axis reads it
        learning = global_step > LEARNING_STARTS
        with torch.no_grad():
            action = act(torch.as_tensor(obs))[0].numpy() if learning else env.action_space.sample()
        next_obs, reward, terminated, truncated, info = env.step(action)
        replay.steps.append((obs, next_obs, action, [reward], [terminated]))
        obs = next_obs
        if terminated or truncated:
            obs = env.reset()[0]
            if loop is not None:
                loop.episodes(info["episode"]["r"], info["episode"]["l"])
        if not learning:
            continue
        b_obs, b_next, b_actions, b_rewards, b_dones = replay.sample()
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            next_actions, next_log_prob = act(b_next)
            least = torch.minimum(*(target(torch.cat([b_next, next_actions], 1)) for target in targets))
            target = b_rewards + GAMMA * (1 - b_dones) * (least - alpha * next_log_prob)
        values = [critic(torch.cat([b_obs, b_actions], 1)) for critic in critics]
        qf_loss = mse_loss(values[0], target) + mse_loss(values[1], target)
        q_optimizer.zero_grad()
        qf_loss.backward()
        q_optimizer.step()
        losses.append(qf_loss.item())
        metrics = {"value_loss": qf_loss, "alpha": alpha}
        if global_step % 2 == 0:  # the delayed actor
            pi, log_prob = act(b_obs)
            actor_loss = (alpha * log_prob - torch.minimum(*(c(torch.cat([b_obs, pi], 1)) for c in critics))).mean()
            actor_optimizer.zero_grad()
            actor_loss.backward()
            actor_optimizer.step()
            alpha_loss = (-log_alpha.exp() * (log_prob.detach() - 1)).mean()
            a_optimizer.zero_grad()
            alpha_loss.backward()
            a_optimizer.step()
            metrics |= {"policy_loss": actor_loss}
        for target_weight, weight in zip(targets.parameters(), critics.parameters(), strict=True):
            target_weight.data.lerp_(weight.data, TAU)
        if loop is not None:
            loop.replay_batch(actions=b_actions, rewards=b_rewards, values=values[0])
            loop.step(metrics)
    if loop is not None:
        loop.close()
    return [*actor.parameters(), *critics.parameters(), log_alpha]
