"""A Stable-Baselines3 run that ends before its last step: by a callback of ours, one of theirs, or an exception."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from puffer_callbacks import (
    HealthCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    RolloutCallback,
    default_callbacks,
)
from puffer_callbacks.faults import PufferWarning

pytest.importorskip("stable_baselines3")
import stable_baselines3 as sb3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from puffer_callbacks.adapters import SB3Bridge
from tests.support.warned import warned

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:You are trying to run:UserWarning")

ALGORITHMS = {
    "PPO": (sb3.PPO, {"n_steps": 128, "batch_size": 64, "n_epochs": 1}),
    "A2C": (sb3.A2C, {"n_steps": 128}),
    "DQN": (sb3.DQN, {"learning_starts": 1000, "buffer_size": 250}),
}


class Episodes(PufferCallback):
    def __init__(self):
        self.returns, self.lengths = [], []

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.returns += rollout.episode_returns.tolist()
        self.lengths += rollout.episode_lengths.tolist()


class StopAfter(PufferCallback):
    def __init__(self, rollouts):
        self.left = rollouts

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.left -= 1
        trainer.should_stop = self.left <= 0


class EndAt(BaseCallback):
    """Ends learning at a step, by an exception or by Stable-Baselines3's own way."""

    def __init__(self, step, error=None):
        super().__init__()
        self.step, self.error = step, error

    def _on_step(self):
        if self.num_timesteps >= self.step and self.error is not None:
            raise self.error
        return self.num_timesteps < self.step


def make(name, env="CartPole-v1"):
    kind, arguments = ALGORITHMS[name]
    return kind("MlpPolicy", env, seed=1, device="cpu", **arguments)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_callback_of_ours_ends_learning_and_a_second_call_begins_anew(name):
    model, stop = make(name), StopAfter(2)
    bridge = SB3Bridge(None, [stop], rollout_steps=128)
    model.learn(100_000, callback=bridge)
    assert model.num_timesteps == 2 * 128 + 1, "the step after the rollout at which it asked"
    stop.left = 1
    model.learn(100_000, callback=bridge)
    assert model.num_timesteps == 128 + 1


def test_an_algorithm_that_cannot_be_stopped_is_named_and_can_be_learned_in_parts():
    ars = pytest.importorskip("sb3_contrib").ARS
    model = ars("LinearPolicy", gym.make("CartPole-v1", max_episode_steps=20), n_delta=1, seed=1, device="cpu")
    bridge = SB3Bridge(None, [StopAfter(2)])
    with pytest.warns(PufferWarning, match=r"expected ARS.learn to end .* while not bridge.should_stop"):
        model.learn(200, callback=bridge)
    assert model.num_timesteps >= 200

    bridge = SB3Bridge(None, [StopAfter(2)])
    for _ in range(10):
        if not bridge.should_stop:
            model.learn(1, callback=bridge, reset_num_timesteps=False)
            learned = model.num_timesteps
    assert bridge.should_stop and model.num_timesteps == learned


def test_a_finding_ends_learning(memory_logger):
    health = HealthCallback(stop_on="warning")
    model = sb3.PPO("MlpPolicy", "CartPole-v1", learning_rate=1.0, n_steps=128, n_epochs=2, seed=1, device="cpu")
    model.learn(20_000, callback=SB3Bridge(memory_logger, default_callbacks(health=health)))
    assert model.num_timesteps < 10_000
    assert health.findings


@pytest.mark.parametrize("monitored", [True, False])
@pytest.mark.parametrize("end", ["callback", "exception", "exception in a block"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_finished_episode_counts(name, end, monitored):
    episodes, logger = Episodes(), MemoryLogger()
    env = gym.wrappers.RecordEpisodeStatistics(gym.make("CartPole-v1"))  # the truth
    model = make(name, env if monitored else DummyVecEnv([lambda: env]))
    bridge = SB3Bridge(logger, [Recorder(overhead_budget=1.0), RolloutCallback(), episodes])
    if end == "callback":
        model.learn(1000, callback=[bridge, EndAt(300)])
    elif end == "exception":
        with pytest.raises(OSError, match="boom"):
            model.learn(1000, callback=[bridge, EndAt(300, OSError("boom"))])
        bridge.close()
    else:
        with pytest.raises(OSError, match="boom"), bridge:
            model.learn(1000, callback=[bridge, EndAt(300, OSError("boom"))])
    assert episodes.returns == list(env.return_queue)
    assert episodes.lengths == list(env.length_queue)
    assert sum(episodes.lengths) > 2 * 128, "some of them after the last rollout that was complete"
    assert logger.series("train/reward")[-1][0] == 300
    assert "OSError: boom" in logger.text if end == "exception in a block" else True
    assert not model.logger.output_formats


def test_a_step_that_was_not_stored_is_in_no_rollout():
    class Rollouts(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            self.last = rollout

    last, model = Rollouts(), make("DQN")
    model.learn(1000, callback=[SB3Bridge(None, last), EndAt(300)])
    stored = torch.from_numpy(model.replay_buffer.observations)
    assert model.replay_buffer.pos == 299 % 250
    assert torch.equal(last.last.observations, stored.roll(-49, 0)), "the last 250, in the order of their steps"


def test_the_logger_of_a_run_that_an_exception_ended_is_left_as_it_was(memory_logger):
    bridge = SB3Bridge(memory_logger, [Recorder(overhead_budget=1.0)])
    first, second = make("PPO"), make("PPO")
    with pytest.raises(OSError, match="boom"):
        first.learn(1000, callback=[bridge, EndAt(300, OSError("boom"))])
    logger = first.logger
    second.num_timesteps = 300
    second.learn(128, callback=bridge, reset_num_timesteps=False)
    assert not logger.output_formats
    assert not second.logger.output_formats


class Sevens(gym.Env):
    """Episodes of seven steps."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.at = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.at += 1
        position = {"position": np.zeros(2), "name": "seven"}
        return self.observation_space.sample(), 1.0, self.at == 7, False, position


@pytest.mark.parametrize("monitored", [True, False])
def test_a_checkpoint_within_a_rollout_keeps_the_episodes_that_finished_in_it(monitored, tmp_path):
    class Saves(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 50:
                torch.save(bridge.state_dict(), tmp_path / "bridge.pt")
            return True

    told = ("position", "name")
    env = (
        Monitor(Sevens(), info_keywords=told) if monitored else DummyVecEnv([Sevens])
    )  # which the algorithm does not wrap in a Monitor
    model = sb3.PPO("MlpPolicy", env, n_steps=32, batch_size=32, n_epochs=1, device="cpu")
    bridge = SB3Bridge([], [RolloutCallback()])
    model.learn(64, callback=[bridge, Saves()])
    state = torch.load(tmp_path / "bridge.pt", weights_only=True)
    assert len(state["episodes"]) == 50 // 7 - 32 // 7
    resumed = SB3Bridge([], [episodes := Episodes()])
    resumed.load_state_dict(state)
    assert resumed.state_dict()["episodes"] == state["episodes"]
    model.learn(32, callback=resumed)
    assert episodes.lengths == [7.0] * (50 // 7 - 32 // 7 + 32 // 7)
    assert episodes.returns == episodes.lengths
    model.learn(32, callback=resumed)
    assert episodes.lengths == [7.0] * (50 // 7 - 32 // 7 + 2 * (32 // 7)), "those of the checkpoint once"


@pytest.mark.parametrize("again", [False, True])
def test_an_unmonitored_episode_goes_on_in_a_learn_that_resets_nothing(again):
    episodes, env = Episodes(), DummyVecEnv([Sevens])
    model = sb3.PPO("MlpPolicy", env, n_steps=16, batch_size=16, n_epochs=1, device="cpu")
    bridge = SB3Bridge(None, [episodes])
    for first in (True, False):
        model.learn(16, callback=bridge, reset_num_timesteps=first or again)
    assert episodes.lengths == [7] * 4  # in 32 steps, or in twice 16


@pytest.mark.parametrize("name", ["PPO", "DQN"])
@pytest.mark.parametrize("anew", [False, True])
def test_a_learn_that_was_interrupted_ends_where_it_stood_and_its_open_episode_goes_on_only_if_nothing_is_reset(
    name, anew, memory_logger
):
    kind, arguments = ALGORITHMS[name]
    short = {**arguments, "n_steps": 16, "batch_size": 16} if name == "PPO" else arguments
    model = kind("MlpPolicy", DummyVecEnv([Sevens]), device="cpu", **short)
    episodes = Episodes()
    bridge = SB3Bridge(memory_logger, [Recorder(overhead_budget=1.0), RolloutCallback(), episodes], rollout_steps=16)
    with pytest.raises(KeyboardInterrupt):
        model.learn(64, callback=[bridge, EndAt(26, KeyboardInterrupt())])
    with warned() as reported:
        model.learn(32, callback=bridge, reset_num_timesteps=anew)
    assert episodes.lengths == episodes.returns == [7.0] * (3 + (4 if anew else 5))
    rewards = [step for step, _ in memory_logger.series("train/reward")]
    assert rewards == ([16, 26, 16, 32] if anew else [16, 26, 42, 58])
    assert ["expected no rows after step 0" in each for each in reported] == [True] * anew


def test_an_update_that_a_logger_of_the_user_s_still_holds_is_not_logged_again():
    model, first, second = make("PPO"), MemoryLogger(), MemoryLogger()
    model.set_logger(Logger(None, []))  # which the algorithm keeps
    model.learn(256, callback=SB3Bridge(first, [MetricsCallback(1)]), log_interval=100)
    model.learn(128, callback=SB3Bridge(second, [MetricsCallback(1)]), log_interval=100, reset_num_timesteps=False)
    assert [step for step, _ in first.series("train/loss")] == [128, 256]
    assert second.series("train/loss") == [(384, pytest.approx(model.logger.name_to_value["train/loss"]))]


def test_the_steps_that_learning_ends_at_are_known_those_before_included():
    model, logger, health = make("PPO"), MemoryLogger(), HealthCallback()
    bridge = SB3Bridge(logger, default_callbacks(health=health))
    for learned in (256, 512):
        model.learn(256, callback=bridge, reset_num_timesteps=False)
        assert logger.hparams["total_timesteps"] == health._monitor.facts.total_steps == learned
