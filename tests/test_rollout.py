import dataclasses

import numpy as np
import pytest
import torch

from puffer_callbacks import Rollout
from puffer_callbacks.rollout import explained_variance
from tests.support.models import random_rollout

FIELDS = [
    "observations",
    "actions",
    "rewards",
    "dones",
    "values",
    "log_probs",
    "advantages",
    "returns",
    "entropy",
    "episode_returns",
    "episode_lengths",
    "infos",
    "env_steps",
    "action_space",
]


def smallest(**fields):
    zeros = torch.zeros(4, 2)
    return Rollout(**{"observations": zeros, "actions": zeros, "rewards": zeros, "dones": zeros, **fields})


def test_fields_follow_the_contract():
    assert [field.name for field in dataclasses.fields(Rollout)] == FIELDS


def test_only_the_first_four_are_needed():
    zeros = torch.zeros(4, 2)
    rollout = Rollout(zeros, zeros, zeros, zeros)
    assert (rollout.num_steps, rollout.num_envs) == (4, 2)
    assert (rollout.values, rollout.infos, rollout.env_steps) == (None, {}, 0)


def test_a_full_rollout_is_accepted():
    rollout = random_rollout(0, env_steps=16)
    assert rollout.env_steps == 32


def test_a_rollout_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        smallest().env_steps = 1


@pytest.mark.parametrize("name", [*FIELDS[:4]])
def test_a_needed_field_must_be_a_tensor(name):
    with pytest.raises(TypeError, match=rf"Rollout\.{name}: expected a tensor, got NoneType"):
        smallest(**{name: None})


@pytest.mark.parametrize("name", FIELDS[4:11])
def test_an_optional_field_must_be_a_tensor_or_absent(name):
    assert getattr(smallest(**{name: None}), name) is None
    with pytest.raises(TypeError, match=rf"Rollout\.{name}: expected a tensor, got ndarray"):
        smallest(**{name: np.zeros((4, 2))})


@pytest.mark.parametrize("env_steps", [1.5, True, "8", torch.tensor(8)])
def test_env_steps_must_be_an_integer(env_steps):
    with pytest.raises(TypeError, match=r"Rollout\.env_steps: expected an integer"):
        smallest(env_steps=env_steps)


def test_infos_must_be_tensors():
    with pytest.raises(TypeError, match=r"Rollout\.infos\['speed'\]: expected a tensor, got float"):
        smallest(infos={"speed": 1.0})


@pytest.mark.parametrize("name", ["dones", "values", "log_probs", "advantages", "returns", "entropy"])
def test_a_field_of_another_shape_raises_with_both_shapes(name):
    with pytest.raises(ValueError, match=rf"Rollout\.{name}: expected the shape \[4, 2\], got \[4, 2, 1\]"):
        smallest(**{name: torch.zeros(4, 2, 1)})


@pytest.mark.parametrize("name", ["observations", "actions"])
def test_leading_dimensions_must_agree(name):
    with pytest.raises(ValueError, match=rf"Rollout\.{name}: expected a shape that starts with \[4, 2\], got \[2, 4\]"):
        smallest(**{name: torch.zeros(2, 4)})
    assert getattr(smallest(**{name: torch.zeros(4, 2, 3, 3)}), name).shape == (4, 2, 3, 3)


@pytest.mark.parametrize("shape", [(4,), (4, 2, 1), ()])
def test_rewards_give_the_number_of_steps_and_environments(shape):
    with pytest.raises(ValueError, match=r"Rollout\.rewards: expected the shape \[T, N\]"):
        smallest(rewards=torch.zeros(shape))


def test_episode_fields_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"\[E\].*episode_returns \[3\], episode_lengths \[2\]"):
        smallest(episode_returns=torch.zeros(3), episode_lengths=torch.zeros(2))
    with pytest.raises(ValueError, match=r"episode_returns \[3, 1\]"):
        smallest(episode_returns=torch.zeros(3, 1))


def test_explained_variance_agrees_with_numpy():
    generator = np.random.default_rng(0)
    values, returns = generator.normal(size=(2, 128, 8))
    expected = 1 - np.var(returns - values) / np.var(returns)
    found = explained_variance(torch.from_numpy(values).float(), torch.from_numpy(returns).float())
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_explained_variance_of_a_perfect_and_a_constant_critic_and_of_constant_returns():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns).item() == 1.0
    assert explained_variance(torch.full((3,), 7.0), returns).item() == 0.0
    assert explained_variance(-returns, returns).item() < 0
    assert explained_variance(returns, torch.ones(3)).isnan()


def test_explained_variance_is_exact_with_a_large_mean():
    returns = torch.tensor([1e6, 1e6 + 1, 1e6 + 2])
    assert explained_variance(returns + 0.5, returns).item() == pytest.approx(1.0)


def test_explained_variance_of_different_shapes_raises():
    with pytest.raises(ValueError, match=r"one shape, got \[2\] and \[2, 1\]"):
        explained_variance(torch.zeros(2), torch.zeros(2, 1))
