import inspect
import math

import numpy as np
import pytest

from puffer_callbacks.ppo import PPO, PRESETS, preset, resolve_env_id
from puffer_callbacks.ppo.validation import RULES, check_hyperparameters

WRONG = [
    ("learning_rate", -0.1, "a finite number above 0"),
    ("learning_rate", 0, "a finite number above 0"),
    ("learning_rate", math.nan, "a finite number above 0"),
    ("learning_rate", math.inf, "a finite number above 0"),
    ("gamma", 1.01, "a number from 0 to 1"),
    ("gae_lambda", -0.01, "a number from 0 to 1"),
    ("clip_coef", 0.0, "a finite number above 0"),
    ("ent_coef", -1e-9, "a finite number of at least 0"),
    ("vf_coef", math.nan, "a finite number of at least 0"),
    ("max_grad_norm", 0.0, "a finite number above 0, or none"),
    ("target_kl", -1.0, "a finite number above 0, or none"),
    ("num_envs", 0, "an integer of at least 1"),
    ("num_steps", -128, "an integer of at least 1"),
    ("batch_size", 0, "an integer of at least 1"),
    ("update_epochs", 0, "an integer of at least 1"),
    ("total_timesteps", 0, "an integer of at least 1"),
    ("activation", "sine", "one of tanh, relu, silu, elu, gelu"),
    ("log_std_init", math.inf, "a finite number"),
    ("seed", -1, "an integer from 0 to 2**31 - 1"),
]


@pytest.mark.parametrize(("name", "value", "expected"), WRONG)
def test_out_of_range(name, value, expected):
    with pytest.raises(ValueError) as caught:
        PPO(**{name: value})
    assert str(caught.value) == f"{name}: expected {expected}, got {value!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", "0.1"),
        ("learning_rate", None),
        ("gamma", True),
        ("num_envs", 8.0),
        ("num_envs", True),
        ("norm_adv", 1),
        ("activation", 3),
        ("seed", "one"),
    ],
)
def test_of_the_wrong_type(name, value):
    with pytest.raises(TypeError) as caught:
        PPO(**{name: value})
    assert str(caught.value) == f"{name}: expected {RULES[name].expected}, got {value!r}"


@pytest.mark.parametrize("sizes", [{"num_envs": 10**9}, {"num_steps": 10**10}, {"num_envs": 10**5, "num_steps": 10**6}])
def test_a_rollout_that_does_not_fit_into_memory_is_refused_before_it_fills_that(sizes):
    with pytest.raises(ValueError, match=r"^num_envs: expected a rollout that fits into .* GiB of memory, got .* GiB"):
        PPO("CartPole", **sizes)


def test_hidden_sizes():
    with pytest.raises(ValueError, match=r"^hidden_sizes: expected a list of integers .* got \[64, 0\]$"):
        PPO(hidden_sizes=[64, 0])
    for wrong in ("64", [64.0], 64, [True]):
        with pytest.raises(TypeError, match="hidden_sizes: expected a list of integers"):
            PPO(hidden_sizes=wrong)


def test_a_batch_larger_than_a_rollout():
    with pytest.raises(ValueError, match=r"^batch_size: expected at most .* = 128, .* got 256; "):
        PPO(num_envs=1)


def test_numpy_numbers_are_numbers():
    check_hyperparameters({"num_envs": np.int64(8), "gamma": np.float32(0.5)})


def test_every_argument_has_a_rule_and_a_description():
    arguments = set(inspect.signature(PPO).parameters)
    assert arguments == set(RULES) | {"env_id", "hidden_sizes"}
    described = inspect.getdoc(PPO)
    assert described is not None and all(f"\n    {name}: " in described for name in arguments)


@pytest.mark.parametrize("env_id", PRESETS)
def test_presets_are_of_full_names_and_legal_values(env_id):
    assert resolve_env_id(env_id) == env_id
    PPO(env_id, **preset(env_id))


def test_a_preset_is_a_copy():
    preset("CartPole-v1").clear()
    assert preset("CartPole-v1") and preset("FrozenLake-v1") == {}
