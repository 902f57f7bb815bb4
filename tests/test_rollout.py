import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics
from gymnasium.wrappers.vector import RecordEpisodeStatistics as VectorRecordEpisodeStatistics

from puffer_callbacks import Rollout
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


@pytest.mark.parametrize("names", [(), ("rewards", "dones"), ("observations",), ("actions",), ("advantages",)])
def test_every_field_is_optional(names):
    rollout = Rollout(**dict.fromkeys(names, torch.zeros(4, 2)))
    assert (rollout.num_steps, rollout.num_envs) == ((4, 2) if names else (0, 0))
    assert all(getattr(rollout, name) is None for name in FIELDS[:11] if name not in names)
    assert (rollout.infos, rollout.env_steps) == ({}, 0)


def test_a_rollout_may_hold_episodes_alone():
    rollout = Rollout(episode_returns=torch.ones(3), env_steps=100)
    assert (rollout.num_steps, rollout.num_envs, rollout.episode_returns.tolist()) == (0, 0, [1.0, 1.0, 1.0])


def test_a_full_rollout_is_accepted():
    rollout = random_rollout(0, env_steps=16)
    assert rollout.env_steps == 32


def test_a_rollout_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        smallest().env_steps = 1


def test_observations_must_be_tensors_or_nested():
    for observations in ({"eye": torch.zeros(4, 2)}, (torch.zeros(4, 2),), [["a", "b"]] * 4):
        assert smallest(observations=observations).observations is observations
    with pytest.raises(
        TypeError, match=r"Rollout\.observations: expected a tensor, mapping, tuple or list, got ndarray"
    ):
        smallest(observations=np.zeros((4, 2)))


@pytest.mark.parametrize("name", FIELDS[1:11])
def test_a_field_must_be_a_tensor_or_none(name):
    assert getattr(smallest(**{name: None}), name) is None
    with pytest.raises(TypeError, match=rf"Rollout\.{name}: expected a tensor, got ndarray"):
        smallest(**{name: np.zeros((4, 2))})


@pytest.mark.parametrize("env_steps", [np.int64(8), np.uint8(8), 8])
def test_env_steps_of_numpy_are_integers(env_steps):
    assert type(smallest(env_steps=env_steps).env_steps) is int


@pytest.mark.parametrize("env_steps", [1.5, True, "8", torch.tensor(8), np.float64(8), np.bool_(True)])
def test_env_steps_must_be_an_integer(env_steps):
    with pytest.raises(TypeError, match=r"Rollout\.env_steps: expected an integer"):
        smallest(env_steps=env_steps)


def test_infos_must_be_tensors():
    with pytest.raises(TypeError, match=r"Rollout\.infos: expected a mapping of tensors, got list"):
        smallest(infos=[torch.ones(3)])
    with pytest.raises(TypeError, match=r"Rollout\.infos\['speed'\]: expected a tensor, got NoneType"):
        smallest(infos={"speed": None})
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


@pytest.mark.parametrize("name", ["observations", "actions"])
def test_a_field_alone_has_steps_and_environments(name):
    rollout = Rollout(**{name: torch.zeros(4, 2, 3, 3)})
    assert (rollout.num_steps, rollout.num_envs) == (4, 2)
    for shape in ([], [4]):
        with pytest.raises(ValueError) as raised:
            Rollout(**{name: torch.zeros(shape)})
        assert str(raised.value) == f"Rollout.{name}: expected a shape that starts with [T, N], got {shape}"


@pytest.mark.parametrize("name", ["observations", "rewards", "episode_returns"])
def test_nested_tensors_have_no_shape(name):
    nested = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.jagged)
    with pytest.raises(ValueError, match=rf"Rollout\.{name}: expected a tensor with a shape, got a nested tensor"):
        Rollout(**{name: nested})


def test_a_sample_is_taken_at_even_distances():
    steps = torch.arange(12.0, requires_grad=True).reshape(6, 2)
    for most, expected in ((5, [0, 3, 6, 9]), (6, [0, 2, 4, 6, 8, 10]), (100, list(range(12))), (1, [0])):
        sample = Rollout.even_sample(steps, most=most)
        assert (sample.tolist(), sample.requires_grad) == (expected, False)
    assert Rollout.even_sample(torch.zeros(0, 2, 3), most=5).shape == (0, 3)


@pytest.mark.parametrize("shape", [(4,), (4, 2, 1), ()])
def test_rewards_give_the_number_of_steps_and_environments(shape):
    with pytest.raises(ValueError, match=r"Rollout\.rewards: expected the shape \[T, N\]"):
        smallest(rewards=torch.zeros(shape))


@pytest.mark.parametrize("autoreset", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
@pytest.mark.parametrize("inner", [False, True])
def test_episodes_from_the_infos_of_gymnasiums_vector_environments(autoreset, inner):
    class Counts(gymnasium.Env):
        """Ends after 2 steps, with the rewards 1 and 2."""

        observation_space, action_space = Box(-1, 1, (1,)), Discrete(2)
        at = 0

        def reset(self, **kwargs):
            self.at = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.at += 1
            return np.zeros(1, np.float32), float(self.at), self.at == 2, False, {}

    make = (lambda: RecordEpisodeStatistics(Counts())) if inner else Counts
    envs = SyncVectorEnv([make] * 3, autoreset_mode=autoreset)
    envs = envs if inner else VectorRecordEpisodeStatistics(envs)
    envs.reset()
    steps = [envs.step(envs.action_space.sample())[4] for _ in range(2)]
    assert [each.tolist() for each in Rollout.episodes_from(steps)] == [[3.0] * 3, [2] * 3]
    assert [each.tolist() for each in Rollout.episodes_from(steps[0])] == [[], []]


def test_episodes_from_the_infos_of_single_environments():
    episode = {"r": 1.5, "l": 20, "t": 0.1}
    for infos in ({"episode": episode}, episode, [{"episode": episode}], [{}, {"episode": episode}]):
        returns, lengths = Rollout.episodes_from(infos)
        assert (returns.tolist(), lengths.tolist()) == ([1.5], [20])
        assert (returns.dtype, lengths.dtype) == (torch.float64, torch.int64)
        assert Rollout(episode_returns=returns, episode_lengths=lengths).episode_returns is returns
    assert [len(each) for each in Rollout.episodes_from([])] == [0, 0]


def test_episodes_are_those_that_ended():
    ended = {"r": [1.0, 2.0, 3.0], "l": [1, 20, 0]}  # a length of 0: none has ended there
    assert [each.tolist() for each in Rollout.episodes_from(ended)] == [[1.0, 2.0], [1, 20]]
    masked = {"episode": ended, "_episode": [False, True, True]}  # those of earlier steps may be there still
    assert [each.tolist() for each in Rollout.episodes_from(masked)] == [[2.0], [20]]


def test_episode_fields_must_be_of_one_length():
    with pytest.raises(ValueError, match=r"\[E\].*episode_returns \[3\], episode_lengths \[2\]"):
        smallest(episode_returns=torch.zeros(3), episode_lengths=torch.zeros(2))
    with pytest.raises(ValueError, match=r"episode_returns \[3, 1\]"):
        smallest(episode_returns=torch.zeros(3, 1))
