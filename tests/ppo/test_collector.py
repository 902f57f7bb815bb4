import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.advantages import evaluate
from puffer_callbacks.ppo.collector import Collector
from puffer_callbacks.ppo.envs import make_envs
from tests.ppo.environments import Counter, registered

CPU = torch.device("cpu")
GAMMA, LAMBDA = 0.9, 0.8
# seven steps of episodes of three
REWARDS, VALUES = [1, 2, 3, 1, 2, 3, 1], [0, 10, 20, 0, 10, 20, 0]
DONES = [False, False, True, False, False, True, False]


def ten_times(policy):
    """A critic that values an observation at ten times itself."""
    policy.critic = nn.Linear(1, 1, bias=False)
    nn.init.constant_(policy.critic.weight, 10.0)
    return policy


def judge(policy, trajectories):
    """The rollout without reward scaling."""
    config = {"gamma": GAMMA, "gae_lambda": LAMBDA, "env_steps": 14, "action_space": None}
    return evaluate(policy, trajectories, rewards=trajectories.rewards, **config)


def rollouts(count, *, num_steps=7, **arguments):
    with registered("Counter-v0", Counter, **arguments):
        envs = make_envs("Counter", num_envs=2)
    policy = ten_times(ActorCritic(envs.single_observation_space, envs.single_action_space))
    collector = Collector(envs, num_steps=num_steps, seed=0)
    for _ in range(count):
        trajectories = collector.collect(policy, device=CPU)
        yield trajectories, judge(policy, trajectories)


def advantages(rewards, values, next_values, dones):
    """Of one environment, by the definition."""
    result, following = [], 0.0
    for reward, value, next_value, done in list(zip(rewards, values, next_values, dones, strict=True))[::-1]:
        following = reward + GAMMA * next_value - value + GAMMA * LAMBDA * (not done) * following
        result.append(following)
    return result[::-1]


def test_a_time_limit_bootstraps_from_the_last_observation():
    _, rollout = next(rollouts(1, max_episode_steps=3))
    assert rollout.observations[:, 0, 0].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert rollout.rewards[:, 0].tolist() == REWARDS and rollout.values[:, 0].tolist() == VALUES
    assert rollout.dones[:, 0].tolist() == DONES
    expected = advantages(REWARDS, VALUES, [10, 20, 30, 10, 20, 30, 10], DONES)
    np.testing.assert_allclose(rollout.advantages[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(rollout.returns, rollout.advantages + rollout.values)


def test_a_real_end_is_worth_nothing_more():
    _, rollout = next(rollouts(1, kwargs={"length": 3}))
    assert rollout.dones[:, 0].tolist() == DONES
    expected = advantages(REWARDS, VALUES, [10, 20, 0, 10, 20, 0, 10], DONES)
    np.testing.assert_allclose(rollout.advantages[:, 0], expected, rtol=1e-5)


def test_a_real_end_at_the_time_limit_is_a_real_end():
    trajectories, rollout = next(rollouts(1, kwargs={"length": 3}, max_episode_steps=3))
    assert trajectories.final_observations is None
    assert rollout.advantages[2, 0].item() == pytest.approx(3 - 20)


def test_episodes_span_rollouts():
    (_, first), (_, second) = rollouts(2, num_steps=4, kwargs={"length": 6})
    assert second.observations[:, 0, 0].tolist() == [4, 5, 0, 1]
    assert first.episode_returns.tolist() == [] and second.episode_returns.tolist() == [21.0, 21.0]
    assert second.episode_lengths.tolist() == [6, 6] and second.episode_lengths.dtype == torch.int64
    assert second.infos.keys() == {"reward_half", "level"}
    assert second.infos["reward_half"].tolist() == [10.5, 10.5]
    assert second.infos["level"].tolist() == [6.0, 6.0]


def test_a_large_number_of_an_episode_keeps_its_digits():
    class Paid(Counter):
        def step(self, action):
            *transition, info = super().step(action)
            return *transition, {**info, "coins": 2**24 + self.t}

    with registered("Counter-v0", Paid, kwargs={"length": 3}):
        envs = make_envs("Counter", num_envs=2)
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space)
    infos = Collector(envs, num_steps=3, seed=0).collect(policy, device=CPU).infos
    assert infos["coins"].tolist() == [2**24 + 3] * 2


def test_a_rollout_keeps_its_numbers_when_the_next_is_collected():
    collected = rollouts(2, kwargs={"length": 5})
    first = next(collected)[1]
    kept = first.observations.clone()
    next(collected)
    assert first.observations.equal(kept)


def test_log_probabilities_are_those_of_the_actions_taken():
    with registered("Counter-v0", Counter, kwargs={"action_space": spaces.MultiDiscrete([2, 3])}):
        envs = make_envs("Counter", num_envs=3)
    policy = ActorCritic(envs.single_observation_space, envs.single_action_space)
    nn.init.orthogonal_(policy.actor[-1].weight)  # far from uniform
    trajectories = Collector(envs, num_steps=5, seed=0).collect(policy, device=CPU)
    assert trajectories.actions.shape == (5, 3, 2)
    rollout = judge(policy, trajectories)
    for t in range(5):
        distribution, values = policy(trajectories.observations[t])
        torch.testing.assert_close(rollout.log_probs[t], distribution.log_prob(trajectories.actions[t]))
        torch.testing.assert_close(rollout.values[t], values)
        torch.testing.assert_close(rollout.entropy[t], distribution.entropy())
