import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import nn

from puffer_callbacks.ppo.actor_critic import ActorCritic
from puffer_callbacks.ppo.networks import ACTIVATIONS, perceptron


def test_layers_are_orthogonal_with_their_gains():
    network = perceptron(8, [16, 16], 4, activation="tanh", gain=0.01)
    linear = [layer for layer in network if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in linear] == [(16, 8), (16, 16), (4, 16)]
    for layer, gain in zip(linear, [2**0.5, 2**0.5, 0.01], strict=True):
        weight = layer.weight if layer.weight.shape[0] < layer.weight.shape[1] else layer.weight.T
        torch.testing.assert_close(weight @ weight.T, gain**2 * torch.eye(len(weight)), atol=1e-5, rtol=0)
        assert not layer.bias.any()


def test_no_hidden_layer_is_a_linear_map():
    assert len(perceptron(3, [], 2, activation="relu", gain=1.0)) == 1


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_is_used(activation):
    policy = ActorCritic(spaces.Box(-1, 1, (2,)), spaces.Discrete(2), hidden_sizes=[3], activation=activation)
    assert isinstance(policy.actor[1], ACTIVATIONS[activation])


@pytest.mark.parametrize(
    ("space", "batch", "inputs"),
    [
        (spaces.Box(-1, 1, (3,)), torch.zeros(5, 3), 3),
        (spaces.Box(0, 255, (4, 4, 3), np.uint8), torch.zeros(5, 4, 4, 3, dtype=torch.uint8), 48),
        (spaces.Box(-1, 1, ()), torch.zeros(5), 1),
        (spaces.Discrete(6, start=-2), torch.tensor([-2, -1, 0, 1, 3]), 6),
    ],
)
@pytest.mark.parametrize("norm_obs", [False, True])
def test_observation_spaces(space, batch, inputs, norm_obs):
    policy = ActorCritic(space, spaces.Discrete(2), norm_obs=norm_obs)
    assert policy.actor[0].in_features == inputs
    distribution, values = policy(batch)
    assert values.shape == distribution.entropy().shape == (5,)


@pytest.mark.parametrize("space", [spaces.MultiBinary(3), spaces.Box(-1, 1, (2, 2)), spaces.MultiDiscrete([[2, 2]])])
def test_an_action_space_that_is_not_known(space):
    with pytest.raises(ValueError, match=r"expected a Discrete, .* action space, got .*wrap the environment"):
        ActorCritic(spaces.Box(-1, 1, (2,)), space)


def test_observations_are_normalized_by_their_moments():
    policy = ActorCritic(spaces.Box(-np.inf, np.inf, (2,)), spaces.Box(-1, 1, (1,)), norm_obs=True)
    data = torch.randn(1000, 2) * torch.tensor([3.0, 0.1]) + 7
    policy.encode.moments.update(data)
    encoded = policy.encode(data)
    torch.testing.assert_close(encoded.mean(0), torch.zeros(2), atol=1e-3, rtol=0)
    torch.testing.assert_close(encoded.std(0), torch.ones(2), atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("space", "norm_obs", "expected"),
    [
        (spaces.Box(0, 255, (2, 1), np.uint8), False, [0.0, 0.8]),  # bytes: between 0 and 1
        (spaces.Box(0, 255, (2, 1), np.uint8), True, [0.0, 10.0]),  # by the moments, which begin at 0 and 1; clipped
        (spaces.Box(0, 1, (2, 1), np.uint8), False, [0.0, 204.0]),  # a mask, for one
        (spaces.Box(0, 255, (2, 1), np.float32), False, [0.0, 204.0]),
    ],
)
def test_pixels_are_scaled(space, norm_obs, expected):
    policy = ActorCritic(space, spaces.Discrete(2), norm_obs=norm_obs)
    observation = torch.tensor([[[0], [204]]], dtype=torch.uint8)
    torch.testing.assert_close(policy.encode(observation), torch.tensor([expected]))
