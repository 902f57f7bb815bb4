import torch

from puffer_callbacks.adapters.episode_counter import EpisodeCounter


def by_hand(rewards, dones):
    """Step by step, environment by environment."""
    finished, totals, lengths = [], [0.0] * rewards.shape[1], [0] * rewards.shape[1]
    for row, ends in zip(rewards.tolist(), dones.tolist(), strict=True):
        for env, (reward, end) in enumerate(zip(row, ends, strict=True)):
            totals[env] += reward
            lengths[env] += 1
            if end:
                finished.append((totals[env], lengths[env]))
                totals[env], lengths[env] = 0.0, 0
    return finished


def test_the_episodes_are_those_counted_by_hand_however_the_steps_are_cut():
    generator = torch.Generator().manual_seed(3)
    rewards = torch.randint(-9, 9, (60, 5), generator=generator).float()
    dones = torch.rand(60, 5, generator=generator) < 0.15
    expected = sorted(by_hand(rewards, dones))
    for length in (1, 7, 60):
        counter = EpisodeCounter()
        counted = [
            episode
            for part, ends in zip(rewards.split(length), dones.split(length), strict=True)
            for episode in zip(*map(torch.Tensor.tolist, counter.count(part, ends)), strict=True)
        ]
        assert sorted(counted) == expected, length


def test_a_reward_that_is_not_finite_stays_in_its_own_episode():
    rewards = torch.tensor([[1.0], [float("nan")], [2.0], [3.0]])
    returns, lengths = EpisodeCounter().count(rewards, torch.tensor([[0], [1], [0], [1]]))
    assert returns.isnan().tolist() == [True, False]
    assert returns[1] == 5
    assert lengths.tolist() == [2, 2]
