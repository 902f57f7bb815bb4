import numpy as np
import pytest
import torch
from scipy.signal import lfilter

from puffer_callbacks.ppo.advantages import generalized_advantages

T, N = 50, 3


def some(seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(T, N, generator=generator) for _ in range(3)]


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(0.99, 0.95), (0.9, 0.0), (1.0, 1.0), (0.0, 0.5)])
def test_agrees_with_a_recursive_filter_within_an_episode(gamma, gae_lambda):
    rewards, values, next_values = some(0)
    got = generalized_advantages(
        rewards, values, next_values, torch.zeros(T, N).bool(), gamma=gamma, gae_lambda=gae_lambda
    )
    deltas = (rewards + gamma * next_values - values).double().numpy()
    expected = lfilter([1.0], [1.0, -gamma * gae_lambda], deltas[::-1], axis=0)[::-1]
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert got.dtype == torch.float32


def test_nothing_flows_back_over_the_end_of_an_episode():
    rewards, values, next_values = some(1)
    dones = torch.rand(T, N, generator=torch.Generator().manual_seed(2)) < 0.2
    got = generalized_advantages(rewards, values, next_values, dones, gamma=0.97, gae_lambda=0.9)
    deltas = (rewards + 0.97 * next_values - values).double()
    expected = torch.zeros(T, N).double()
    for t in range(T):  # the definition: a sum that ends with the episode
        for n in range(N):
            for k in range(t, T):
                expected[t, n] += (0.97 * 0.9) ** (k - t) * deltas[k, n]
                if dones[k, n]:
                    break
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)
