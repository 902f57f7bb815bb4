"""Every algorithm of Stable-Baselines3 and sb3-contrib: the same training, and the returns that happened."""

from copy import deepcopy

import gymnasium as gym
import numpy as np
import pytest
import torch

from puffer_callbacks import Recorder, default_callbacks

pytest.importorskip("stable_baselines3")
import stable_baselines3 as sb3
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.monitor import Monitor

from puffer_callbacks.adapters import SB3Bridge

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:You are trying to run:UserWarning")

ON_POLICY = {"n_steps": 64, "batch_size": 32}
OFF_POLICY = {"learning_starts": 20, "buffer_size": 200, "batch_size": 8, "policy_kwargs": {"net_arch": [16]}}
HER = {**OFF_POLICY, "replay_buffer_class": "HerReplayBuffer"}
ALGORITHMS = {
    "PPO": ("MlpPolicy", "CartPole-v1", {**ON_POLICY, "n_epochs": 2}),
    "A2C": ("MlpPolicy", "CartPole-v1", {}),
    "DQN": ("MlpPolicy", "CartPole-v1", OFF_POLICY),
    "SAC": ("MlpPolicy", "Pendulum-v1", OFF_POLICY),
    "TD3": ("MlpPolicy", "Pendulum-v1", OFF_POLICY),
    "DDPG": ("MlpPolicy", "Pendulum-v1", OFF_POLICY),
    "DQN with HER": ("MultiInputPolicy", "discrete goal", HER),
    "SAC with HER": ("MultiInputPolicy", "continuous goal", HER),
    "ARS": ("LinearPolicy", "CartPole-v1", {"n_delta": 2}),
    "TRPO": ("MlpPolicy", "CartPole-v1", ON_POLICY),
    "RecurrentPPO": (
        "MlpLstmPolicy",
        "CartPole-v1",
        {**ON_POLICY, "n_epochs": 1, "policy_kwargs": {"lstm_hidden_size": 8}},
    ),
    "QRDQN": ("MlpPolicy", "CartPole-v1", OFF_POLICY),
    "TQC": ("MlpPolicy", "Pendulum-v1", OFF_POLICY),
}


def make_env(name):
    if name.endswith("goal"):
        return Monitor(BitFlippingEnv(n_bits=4, continuous=name.startswith("continuous")))
    return Monitor(gym.make(name, max_episode_steps=30))


def trained(name, bridge):
    """The policy's weights, and the environment's own record of its episodes."""
    kind = name.split()[0]
    package = sb3 if hasattr(sb3, kind) else pytest.importorskip("sb3_contrib")
    policy, env_name, arguments = deepcopy(ALGORITHMS[name])  # Stable-Baselines3 adds to the policy's
    if "replay_buffer_class" in arguments:
        arguments = {**arguments, "replay_buffer_class": sb3.HerReplayBuffer}
    env = make_env(env_name)
    model = getattr(package, kind)(policy, env, seed=3, device="cpu", **arguments)
    model.learn(200, callback=bridge)
    return [parameter.detach().clone() for parameter in model.policy.parameters()], env


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_same_training_and_the_returns_that_happened(memory_logger, name):
    callbacks = [Recorder(overhead_budget=1.0), *default_callbacks(metrics=1, histograms=10, gradients=10)]
    plain, _ = trained(name, None)
    recorded, env = trained(name, SB3Bridge(memory_logger, callbacks, rollout_steps=50))
    assert all(torch.equal(one, other) for one, other in zip(plain, recorded, strict=True))

    ends, returns = np.cumsum(env.get_episode_lengths()), np.array(env.get_episode_rewards())
    series, begin = memory_logger.series("train/reward"), 0
    assert len(series) > 1
    for step, mean in series:
        assert mean == pytest.approx(returns[(begin < ends) & (ends <= step)].mean()), step
        begin = step
    assert series[-1][0] >= ends[ends <= max(200, begin)].max(), "the last episode too"
