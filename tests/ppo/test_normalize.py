import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from puffer_callbacks.ppo.normalize import RewardScaler, RunningMoments


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), offset=st.sampled_from([0.0, 100.0, -1e4]))
def test_moments_are_those_of_all_batches_together(sizes, offset):
    data = np.random.default_rng(0).normal(offset, 2.0, (sum(sizes), 3)).astype(np.float32)
    moments = RunningMoments((3,))
    for batch in np.split(data, np.cumsum(sizes)[:-1]):
        moments.update(torch.from_numpy(batch))
    assert moments.count.item() == len(data)
    np.testing.assert_allclose(moments.mean, data.astype(np.float64).mean(0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(moments.var, data.astype(np.float64).var(0), rtol=1e-2, atol=1e-4)


def test_before_any_data_values_pass_through_clipped():
    assert RunningMoments((3,))(torch.tensor([[1.0, -99.0, 99.0]])).tolist() == [[1.0, -10.0, 10.0]]


def test_a_constant_becomes_zero_not_nan():
    moments = RunningMoments((1,))
    moments.update(torch.full((5, 1), 3.0))
    assert moments(torch.tensor([[3.0]])).item() == 0.0


def test_ranks_that_gather_keep_the_same_moments():
    batches = [torch.randn(20, 3), torch.randn(20, 3) + 5]
    alone = RunningMoments((3,))
    alone.update(torch.cat(batches))
    var_mean = [torch.var_mean(batch, 0, correction=0) for batch in batches]
    stacks = [torch.stack([torch.full((3,), 20.0), mean, var]) for var, mean in var_mean]
    ranks = [RunningMoments((3,)) for _ in batches]
    for rank, batch in zip(ranks, batches, strict=True):
        rank.update(batch, gather=lambda moments: torch.stack(stacks))
        torch.testing.assert_close(rank.var, alone.var)
        torch.testing.assert_close(rank.mean, alone.mean)


def test_rewards_are_scaled_by_the_deviation_of_their_discounted_sums():
    rng = np.random.default_rng(0)
    rewards, dones = rng.normal(0, 50, (64, 2)).astype(np.float32), rng.random((64, 2)) < 0.1
    scaler = RewardScaler(gamma=0.9, num_envs=2)
    parts = zip(torch.tensor(rewards).split(32), torch.tensor(dones).split(32), strict=True)
    halves = [scaler.scale(*part) for part in parts]
    sums, running = [], np.zeros(2)
    for reward, done in zip(rewards, dones, strict=True):
        running = 0.9 * running + reward
        sums.append(running)
        running = running * ~done
    np.testing.assert_allclose(halves[0], rewards[:32] / np.std(sums[:32]), rtol=1e-4)
    np.testing.assert_allclose(halves[1], rewards[32:] / np.std(sums), rtol=1e-4)


def test_rewards_that_are_all_zero_stay_so():
    scaler = RewardScaler(gamma=0.9, num_envs=2)
    assert scaler.scale(torch.zeros(4, 2), torch.zeros(4, 2, dtype=torch.bool)).tolist() == [[0.0, 0.0]] * 4


def test_rewards_of_all_ranks_are_scaled_alike():
    rewards, dones = (
        torch.randn(2, 32, 1) * torch.tensor([1.0, 50.0]).view(2, 1, 1),
        torch.ones(32, 1, dtype=torch.bool),
    )
    sums = [torch.stack([torch.tensor(32.0), part.mean(), part.var(correction=0)]) for part in rewards]
    for part in rewards:
        scaled = RewardScaler(gamma=0.9, num_envs=1).scale(part, dones, gather=lambda moments: torch.stack(sums))
        torch.testing.assert_close(scaled, part / rewards.std(correction=0))


def test_the_moments_are_in_the_state():
    assert set(RunningMoments((2,)).state_dict()) == {"mean", "var", "count"}
    assert set(RewardScaler(gamma=0.9, num_envs=1).state_dict()) == {"mean", "var", "count"}


def test_images_are_taken_as_numbers():
    moments = RunningMoments((2, 2))
    moments.update(torch.tensor([[[0, 255], [1, 2]]], dtype=torch.uint8))
    assert moments.mean.tolist() == [[0.0, 255.0], [1.0, 2.0]]
