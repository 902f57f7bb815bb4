"""Episodes counted from rewards and dones, compared with a loop over steps and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks import Rollout
from puffer_callbacks.measure.episode_counter import EpisodeCounter
from puffer_callbacks.measure.rollout_statistics import RolloutStatistics


def loop(rewards, dones):
    """Returns and lengths of every episode that ends, step by step, environment by environment."""
    found = []
    for env in range(rewards.shape[1]):
        total, length = 0.0, 0
        for reward, done in zip(rewards[:, env].tolist(), dones[:, env].tolist(), strict=True):
            total, length = total + reward, length + 1
            if done:
                found.append((total, length))
                total, length = 0.0, 0
    return sorted(found)


@given(st.integers(1, 4), st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 1000))
def test_episodes_across_rollouts_are_those_of_one_long_rollout(envs, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    parts = [
        (torch.randint(-9, 9, (t, envs), generator=generator), torch.rand(t, envs, generator=generator) < 0.3)
        for t in steps
    ]
    counter, found = EpisodeCounter(), []
    for rewards, dones in parts:
        returns, lengths = counter.finished(Rollout(rewards=rewards, dones=dones))
        found += zip(returns.tolist(), lengths.tolist(), strict=True)
    assert sorted(found) == loop(*(torch.cat(each) for each in zip(*parts, strict=True)))


def test_returns_and_lengths_by_hand():
    rewards = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    dones = torch.tensor([[0, 0], [1, 0], [0, 1]])  # numbers are booleans too
    counter = EpisodeCounter()
    returns, lengths = counter.finished(Rollout(rewards=rewards, dones=dones))
    assert (returns.tolist(), lengths.tolist()) == ([3.0, 60.0], [2.0, 3.0])
    returns, lengths = counter.finished(Rollout(rewards=rewards, dones=dones))
    assert (returns.tolist(), lengths.tolist()) == ([6.0, 60.0], [3.0, 3.0])


def test_a_reward_that_is_not_finite_affects_its_own_episode_alone():
    rewards = torch.tensor([[torch.nan], [torch.inf], [1.0], [2.0]])
    returns, _ = EpisodeCounter().finished(Rollout(rewards=rewards, dones=torch.tensor([[1], [1], [0], [1]])))
    assert returns.tolist() == pytest.approx([np.nan, np.inf, 3.0], nan_ok=True)


def test_float32_rewards_lose_nothing():
    rewards = torch.full((100_000, 1), 0.1)
    dones = torch.arange(100_000)[:, None] == 99_999
    (total,), _ = EpisodeCounter().finished(Rollout(rewards=rewards, dones=dones))
    assert total == pytest.approx(100_000 * torch.tensor(0.1).item(), rel=1e-12)


def test_another_number_of_environments_resets_the_counter():
    counter = EpisodeCounter()
    counter.finished(Rollout(rewards=torch.ones(3, 2), dones=torch.zeros(3, 2)))
    returns, _ = counter.finished(Rollout(rewards=torch.ones(3, 1), dones=torch.tensor([[0], [0], [1]])))
    assert returns.tolist() == [3.0]


def test_a_checkpoint_keeps_unfinished_episodes(tmp_path):
    rewards, dones = torch.ones(3, 2), torch.zeros(3, 2)
    counter, resumed = EpisodeCounter(), EpisodeCounter()
    counter.finished(Rollout(rewards=rewards, dones=dones))
    torch.save(counter.state_dict(), tmp_path / "counter.pt")
    resumed.load_state_dict(torch.load(tmp_path / "counter.pt", weights_only=True))
    returns, _ = resumed.finished(Rollout(rewards=rewards, dones=dones + 1))
    assert returns.tolist() == [4.0, 4.0, 1.0, 1.0, 1.0, 1.0]


def test_episodes_are_in_the_order_of_their_ends():
    dones = torch.tensor([[0, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
    rewards = torch.tensor([[1.0, 10.0, 100.0]]).expand(4, 3)
    returns, lengths = EpisodeCounter().finished(Rollout(rewards=rewards, dones=dones))
    assert returns.tolist() == [10.0, 2.0, 20.0, 300.0, 2.0]
    assert lengths.tolist() == [1, 2, 2, 3, 2]


@pytest.mark.parametrize("fields", [{}, {"rewards": torch.ones(3, 2)}, {"dones": torch.ones(3, 2)}])
def test_without_rewards_and_dones_there_are_no_episodes(fields):
    assert [len(each) for each in EpisodeCounter().finished(Rollout(**fields))] == [0, 0]


def test_rewards_of_no_environment_and_those_of_a_graph_are_counted():
    none = Rollout(rewards=torch.ones(3, 0), dones=torch.ones(3, 0))
    assert [len(each) for each in EpisodeCounter().finished(none)] == [0, 0]
    differentiable = torch.ones(2, 1, requires_grad=True)
    negative = torch.tensor([[1 + 2j], [1 + 3j]]).conj().imag
    for rewards, total in ((differentiable, 2.0), (negative, -5.0)):
        returns, _ = EpisodeCounter().finished(Rollout(rewards=rewards, dones=torch.tensor([[0], [1]])))
        assert returns.tolist() == [total]


def test_given_episodes_come_before_counted_ones():
    steps = {"rewards": torch.ones(3, 2), "dones": torch.ones(3, 2)}
    given_returns = Rollout(**steps, episode_returns=torch.tensor([7.0]))
    assert [each.tolist() for each in EpisodeCounter().finished(given_returns)] == [[7.0], []]
    given_lengths = Rollout(**steps, episode_lengths=torch.tensor([9]))
    assert [each.tolist() for each in EpisodeCounter().finished(given_lengths)] == [[1.0] * 6, [9.0]]


def test_statistics_of_counted_episodes():
    rewards, dones = torch.ones(6, 2), torch.zeros(6, 2)
    dones[2::3] = 1
    found = RolloutStatistics.of(Rollout(rewards=rewards, dones=dones), EpisodeCounter()).scalars()
    assert (found["train/reward"], found["train/episode_length"], found["rollout/return_max"]) == (3.0, 3.0, 3.0)
