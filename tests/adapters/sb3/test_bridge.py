import importlib
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import (
    HealthCallback,
    HyperparametersCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    default_callbacks,
)
from puffer_callbacks.faults import PufferWarning
from tests.support.reading import tensorboard_scalars
from tests.support.warned import warned

pytest.importorskip("stable_baselines3")
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor, VecNormalize

from puffer_callbacks.adapters import SB3Bridge

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:You are trying to run:UserWarning")

ALGORITHMS = {
    "PPO": (PPO, "CartPole-v1", {"n_steps": 128, "n_epochs": 2, "batch_size": 32}, 640),
    "A2C": (A2C, "CartPole-v1", {}, 200),
    "DQN": (DQN, "CartPole-v1", {"learning_starts": 20, "train_freq": 2, "buffer_size": 500}, 400),
    "SAC": (SAC, "Pendulum-v1", {"learning_starts": 20, "policy_kwargs": {"net_arch": [16]}}, 220),
    "TD3": (TD3, "Pendulum-v1", {"learning_starts": 20, "policy_kwargs": {"net_arch": [16]}}, 220),
}
SHARED = {
    "PPO": {
        "policy_loss",
        "value_loss",
        "entropy",
        "policy_gradient_loss",
        "loss",
    },
    "A2C": {"policy_loss", "value_loss", "entropy", "entropy_loss"},
    "DQN": {"loss"},
    "SAC": {"policy_loss", "value_loss", "actor_loss", "critic_loss", "ent_coef", "ent_coef_loss"},
    "TD3": {"policy_loss", "value_loss"},
}


class Spy(PufferCallback):
    def __init__(self):
        self.rollouts = []
        self.ended_by = None

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.rollouts.append(rollout)

    def on_exception(self, trainer, pl_module, exception):
        self.ended_by = exception


class Updates(BaseCallback):
    """Each update's values as the algorithm recorded them, read in time: the truth."""

    def __init__(self):
        super().__init__()
        self.updates = {}

    def _on_rollout_start(self):
        logged = self.logger.name_to_value
        if "train/n_updates" in logged and logged["train/n_updates"] not in self.updates:
            values = {tag: value for tag, value in logged.items() if tag.startswith("train/")}
            self.updates[logged["train/n_updates"]] = (self.model.num_timesteps, values)

    _on_training_end = _on_rollout_start

    def _on_step(self):
        return True


def make(name, **overrides):
    algorithm, env, arguments, total = ALGORITHMS[name]
    return algorithm("MlpPolicy", env, seed=3, device="cpu", **{**arguments, **overrides}), total


def callbacks(**overrides):
    return [Recorder(overhead_budget=1.0), *default_callbacks(**overrides)]


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_update_s_values_stand_at_that_update_the_last_one_included(memory_logger, name):
    model, total = make(name)
    truth = Updates()
    model.learn(total, callback=[truth, SB3Bridge(memory_logger, callbacks(metrics=1))])
    assert {f"train/{tag}" for tag in SHARED[name]} <= set(memory_logger.tags)
    tag = {"DQN": "train/loss", "A2C": "train/value_loss", "PPO": "train/value_loss"}.get(name, "train/critic_loss")
    expected = [(step, pytest.approx(float(values[tag]))) for step, values in truth.updates.values()]
    assert memory_logger.series(tag) == expected
    assert len(expected) > 4


def test_names_that_all_algorithms_share(memory_logger):
    model, total = make("PPO")
    model.learn(total, callback=SB3Bridge(memory_logger, callbacks(metrics=1)))
    assert memory_logger.series("train/policy_loss") == memory_logger.series("train/policy_gradient_loss")
    assert memory_logger.series("losses/policy") == memory_logger.series("train/policy_loss")
    assert memory_logger.series("losses/entropy") == memory_logger.series("train/entropy_loss")
    assert memory_logger.series("train/entropy")[0][1] > 0
    fits = memory_logger.series("diagnostics/explained_variance")
    losses = memory_logger.series("train/policy_loss")
    assert [step for step, _ in fits] == [step for step, _ in losses]
    assert fits[-1][1] == pytest.approx(model.logger.name_to_value["train/explained_variance"], abs=1e-5)
    assert {"diagnostics/approx_kl", "diagnostics/clip_fraction"} <= set(memory_logger.tags)
    assert "train/explained_variance" not in memory_logger.tags
    assert "train/n_updates" not in memory_logger.tags


@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN", "SAC"])
def test_histograms_come_at_the_first_step_at_every_1000_and_at_the_end(memory_logger, name):
    faster = {
        "PPO": {"n_epochs": 25, "n_steps": 32, "batch_size": 4},
        "A2C": {"n_steps": 1},
        "DQN": {"train_freq": 1, "gradient_steps": 4},
        "SAC": {"gradient_steps": 8, "batch_size": 8},
    }
    total = {"PPO": 330, "A2C": 2050, "DQN": 540, "SAC": 280}[name]
    model, _ = make(name, **faster[name])
    model.learn(total, callback=SB3Bridge(memory_logger, callbacks(), rollout_steps=50))
    kinds = {"PPO": "mlp_extractor.policy_net.0", "A2C": "mlp_extractor.policy_net.0", "DQN": "q_net.q_net.0"}
    part = kinds.get(name, "actor.latent_pi.0")
    optimizer_steps = dict(memory_logger.series("time/optimizer_steps"))
    # the first step, each thousand, and the end, which has no gradients
    for tag, thousands in ((f"weights/{part}.weight", [0, 1, 2, 2]), (f"gradients/{part}.bias", [0, 1, 2])):
        assert [optimizer_steps[step] // 1000 for step in steps(memory_logger, tag)] == thousands, tag
    weights, rewards = steps(memory_logger, f"weights/{part}.weight"), steps(memory_logger, "rollout/rewards")
    assert rewards[-3:] == weights[1:], "before the first step of an off-policy algorithm there is no rollout"


def test_an_on_policy_rollout_is_what_the_algorithm_learned_from():
    spy = Spy()
    env = make_vec_env("CartPole-v1", n_envs=2, seed=1, env_kwargs={"max_episode_steps": 10})
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=1, device="cpu")
    model.learn(128, callback=SB3Bridge(None, spy))
    assert len(spy.rollouts) == 2
    rollout = spy.rollouts[0]
    assert rollout.observations.shape == (32, 2, 4)
    assert rollout.actions.shape == (32, 2)
    assert rollout.actions.dtype == torch.int64
    assert rollout.env_steps == 64
    assert rollout.action_space == env.action_space
    assert torch.equal(rollout.rewards, torch.ones(32, 2)), "without the value that a time limit cut off"
    assert rollout.dones.sum() == len(rollout.episode_returns)
    assert rollout.episode_lengths.max() <= 10
    assert torch.allclose(rollout.returns, rollout.advantages + rollout.values)


def test_an_off_policy_rollout_is_what_was_stored_since_the_last():
    class Counting(gym.Env):
        observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
        action_space = gym.spaces.Box(np.float32([-2.0]), np.float32([6.0]))

        def reset(self, *, seed=None, options=None):
            self.at = 0
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.at += 1
            return np.float32([self.at]), float(action[0]), self.at == 7, False, {"is_success": True}

    spy = Spy()
    model = SAC("MlpPolicy", Counting(), buffer_size=50, learning_starts=1000, seed=1, device="cpu")
    model.learn(100, callback=SB3Bridge(None, spy, rollout_steps=40))
    assert [rollout.num_steps for rollout in spy.rollouts] == [40, 40, 20]
    assert [rollout.env_steps for rollout in spy.rollouts] == [40, 80, 100]
    whole = torch.cat([rollout.observations for rollout in spy.rollouts]).flatten()
    assert torch.equal(whole, torch.arange(100.0) % 7)
    for rollout in spy.rollouts:
        assert torch.allclose(rollout.actions.squeeze(-1), rollout.rewards, atol=1e-5), "the environment's units"
        assert torch.equal(rollout.dones.flatten(), rollout.observations.flatten() == 6)
        assert len(rollout.episode_returns) == rollout.dones.sum()
        assert rollout.infos["is_success"].mean() == 1


class Goal(gym.Env):
    """A Dict observation, a MultiDiscrete action."""

    observation_space = gym.spaces.Dict(
        {"small": gym.spaces.Box(-1, 1, (2,)), "large": gym.spaces.Box(0, 255, (40, 40, 3), np.uint8)}
    )
    action_space = gym.spaces.MultiDiscrete([3, 2])

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return {"small": np.zeros(2, np.float32), "large": np.zeros((40, 40, 3), np.uint8)}, {}

    def step(self, action):
        at = self.at + 1
        observation, info = self.reset()
        self.at = at
        return observation, 1.0, at % 5 == 0, False, info


def test_dict_observations_come_whole_and_actions_with_every_part():
    spy = Spy()
    model = A2C("MultiInputPolicy", Goal(), n_steps=10, seed=1, device="cpu")
    model.learn(20, callback=SB3Bridge(None, spy))
    shapes = {name: list(entry.shape) for name, entry in spy.rollouts[0].observations.items()}
    assert shapes == {"small": [10, 1, 2], "large": [10, 1, 3, 40, 40]}, "images as the algorithm sees them"
    assert spy.rollouts[0].actions.shape == (10, 1, 2)


def bare():
    """CartPole without the Monitor that Stable-Baselines3 puts around it."""
    return DummyVecEnv([lambda: gym.make("CartPole-v1", max_episode_steps=30)] * 2)


@pytest.mark.parametrize("name", ["PPO", "DQN"])
@pytest.mark.parametrize("normalized", [False, True])
def test_episodes_are_counted_without_a_monitor(name, normalized):
    spies = []
    for wrap in (VecMonitor, lambda env: env):
        env = wrap(bare())
        env = VecNormalize(env) if normalized else env
        spies.append(Spy())
        kind = {"PPO": (PPO, {"n_steps": 32, "batch_size": 64}), "DQN": (DQN, {"learning_starts": 1000})}[name]
        model = kind[0]("MlpPolicy", env, seed=1, device="cpu", **kind[1])
        model.learn(512, callback=SB3Bridge(None, spies[-1], rollout_steps=64))
    reported, counted = (
        [
            (rollout.episode_returns.sort()[0].tolist(), rollout.episode_lengths.sort()[0].tolist())
            for rollout in spy.rollouts
        ]
        for spy in spies
    )
    assert counted == reported
    assert sum(len(returns) for returns, _ in counted) > 10


def test_several_environments_and_normalized_ones(memory_logger):
    env = VecNormalize(make_vec_env("CartPole-v1", n_envs=4, seed=1))
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=1, device="cpu")
    model.learn(256, callback=SB3Bridge(memory_logger, callbacks(metrics=1)))
    assert steps(memory_logger, "train/policy_loss") == [128, 256]
    assert all(value >= 8 for _, value in memory_logger.series("train/reward")), "as Monitor saw it"


def test_what_other_callbacks_record_is_logged(memory_logger, tmp_path):
    class Custom(BaseCallback):
        def _on_step(self):
            self.logger.record("custom/double", 2 * self.num_timesteps)
            self.logger.record("custom/text", "ignored")
            return True

    model, _ = make("PPO")
    model.learn(256, callback=[Custom(), SB3Bridge(memory_logger, callbacks())])
    assert memory_logger.series("custom/double") == [(128, 256.0), (256, 512.0)]
    assert steps(memory_logger, "rollout/ep_rew_mean") == [128, 256]
    assert "time/fps" not in memory_logger.tags
    assert len(model.logger.output_formats) == 0, "its logger is left as it was"


class Dump(BaseCallback):
    """Dumps the algorithm's logger as soon as an update is over, and at the end: the logger then forgets it."""

    def _on_rollout_start(self):
        self.logger.dump(self.num_timesteps)

    _on_training_end = _on_rollout_start

    def _on_step(self):
        return True


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_an_update_that_another_callback_dumps_first_is_logged_where_it_stands(memory_logger, name):
    plain = MemoryLogger()
    for logger, others in ((plain, []), (memory_logger, [Dump()])):
        model, total = make(name)
        model.learn(total, callback=[*others, SB3Bridge(logger, callbacks(metrics=1))])
    assert memory_logger.series("train/loss") == plain.series("train/loss") != []


def test_backends_and_hyperparameters(tmp_path):
    memory = MemoryLogger()
    loggers = [TensorBoardLogger(tmp_path, name="tb"), CSVLogger(tmp_path, name="csv"), memory]
    model, _ = make("PPO")
    model.learn(256, callback=SB3Bridge(loggers, callbacks(metrics=1)))
    assert [step for step, _ in tensorboard_scalars(loggers[0].log_dir)["train/policy_loss"]] == [128, 256]
    assert "train/policy_loss" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
    settings = memory.series("hyperparameters")[0][1].settings
    expected = {"algorithm": "PPO", "env_id": "CartPole-v1", "num_envs": 1, "n_steps": 128, "gamma": 0.99}
    assert expected.items() <= settings.items()


def test_schedules_are_logged_as_they_were_given(memory_logger):
    schedule = LinearSchedule(0.001, 0.0, 1.0)
    varying = {"clip_range_vf": lambda progress: 0.2 * progress, "learning_rate": schedule}
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu", clip_range=0.4, **varying)
    health = HealthCallback()
    model.learn(64, callback=SB3Bridge(memory_logger, [HyperparametersCallback(), health]))
    settings = memory_logger.series("hyperparameters")[0][1].settings
    assert settings["clip_range"] == 0.4 and settings["learning_rate"] == str(schedule)
    assert settings["clip_range_vf"].endswith("<lambda>")
    assert health._monitor.facts.clip_range == 0.4


def test_learning_goes_on_with_the_same_bridge(memory_logger):
    model, _ = make("PPO")
    bridge = SB3Bridge(memory_logger, callbacks(metrics=1))
    model.learn(256, callback=bridge)
    model.learn(256, callback=bridge, reset_num_timesteps=False)
    bridge.close()
    bridge.close()
    returns = list(model.get_env().envs[0].get_episode_rewards())
    assert memory_logger.series("rollout/return_last_100")[-1][1] == pytest.approx(np.mean(returns))
    assert steps(memory_logger, "train/policy_loss") == [128, 256, 384, 512]
    with warned() as reported:
        model.learn(256, callback=bridge)  # which begins its count anew
    assert steps(memory_logger, "train/policy_loss")[4:] == [128, 256]
    fresh = model.get_env().envs[0].get_episode_rewards()[len(returns) :]
    assert memory_logger.series("rollout/return_last_100")[-1][1] == pytest.approx(np.mean(fresh))
    assert len(reported) == 1
    assert "expected no rows after step 0" in reported[0]


def test_a_saved_model_continues_with_the_state_of_its_bridge(memory_logger, tmp_path):
    first, whole = MemoryLogger(), MemoryLogger()
    make("PPO")[0].learn(768, callback=SB3Bridge(whole, callbacks(metrics=24, histograms=12)))
    model, _ = make("PPO")
    with SB3Bridge(first, callbacks(metrics=24, histograms=12)) as bridge:
        model.learn(384, callback=bridge)
    model.save(tmp_path / "model.zip")
    torch.save(bridge.state_dict(), tmp_path / "bridge.pt")

    resumed = PPO.load(tmp_path / "model.zip", env=model.get_env(), device="cpu")
    bridge = SB3Bridge(memory_logger, callbacks(metrics=24, histograms=12))
    bridge.load_state_dict(torch.load(tmp_path / "bridge.pt"))
    resumed.learn(384, callback=bridge, reset_num_timesteps=False)
    assert memory_logger.series("time/optimizer_steps")[-1] == whole.series("time/optimizer_steps")[-1]
    for tag in ("train/policy_loss", "weights/action_net.weight"):
        assert steps(memory_logger, tag) == [step for step in steps(whole, tag) if step > 384], tag


def test_a_configuration_file_makes_the_bridge(tmp_path):
    given = yaml.safe_load(f"puffer_callbacks.adapters.SB3Bridge: {{log_dir: {tmp_path}, callbacks: {{metrics: 1}}}}")
    (path, arguments), *_ = given.items()  # as rl_zoo3 reads it
    module, _, name = path.rpartition(".")
    make("PPO")[0].learn(256, callback=getattr(importlib.import_module(module), name)(**arguments))
    assert [step for step, _ in tensorboard_scalars(tmp_path / "version_0")["train/policy_loss"]] == [128, 256]


class Bomb(BaseCallback):
    """Goes off in the third rollout."""

    def _on_step(self):
        if self.num_timesteps == 300:
            raise OSError("boom")
        return True


def test_an_exception_is_recorded_by_the_block_around_learn(memory_logger):
    spy = Spy()
    model, total = make("PPO")
    with (
        pytest.raises(OSError, match="boom"),
        SB3Bridge(memory_logger, [spy, *callbacks(metrics=1)]) as bridge,
    ):
        model.learn(total, callback=[bridge, Bomb()])
    assert isinstance(spy.ended_by, OSError)
    assert steps(memory_logger, "train/policy_loss") == [128, 256]
    assert "OSError: boom" in memory_logger.text


def test_an_exception_without_a_block_loses_nothing_and_learning_can_begin_again(memory_logger):
    model, _ = make("PPO")
    bridge = SB3Bridge(memory_logger, callbacks(metrics=1))
    with pytest.raises(OSError, match="boom"):
        model.learn(640, callback=[bridge, Bomb()])
    model.learn(128, callback=bridge, reset_num_timesteps=False)
    assert steps(memory_logger, "train/policy_loss") == [128, 256, 428]


def test_a_callback_that_stops_learning(memory_logger):
    class Stop(BaseCallback):
        def _on_step(self):
            return self.num_timesteps < 300

    model, total = make("PPO")
    model.learn(total, callback=[SB3Bridge(memory_logger, callbacks(metrics=1)), Stop()])
    assert steps(memory_logger, "train/policy_loss") == [128, 256]


def test_the_model_can_be_saved_meanwhile(memory_logger, tmp_path):
    class Save(BaseCallback):
        def _on_step(self):
            if self.num_timesteps == 200:
                self.model.save(tmp_path / "model.zip")
            return True

    model, _ = make("PPO")
    model.learn(256, callback=[SB3Bridge(memory_logger, callbacks(histograms=1)), Save()])
    assert PPO.load(tmp_path / "model.zip", device="cpu").num_timesteps == 200


def test_an_algorithm_without_buffers_gives_its_scalars_and_episodes(memory_logger):
    ars = pytest.importorskip("sb3_contrib").ARS
    spy = Spy()
    model = ars("LinearPolicy", "CartPole-v1", n_delta=2, seed=1, device="cpu")
    model.learn(600, callback=SB3Bridge(memory_logger, [spy, *callbacks()]))
    assert steps(memory_logger, "train/step_size") == steps(memory_logger, "rollout/return_std")
    assert len(steps(memory_logger, "train/step_size")) > 2
    assert all(len(rollout.episode_returns) == 4 for rollout in spy.rollouts), "both signs of two directions"
    assert [step for step, _ in memory_logger.series("train/reward")] == [r.env_steps for r in spy.rollouts]


def test_a_second_run_from_zero_on_the_same_loggers_warns(memory_logger):
    bridge = SB3Bridge(memory_logger, [MetricsCallback(1)])
    make("PPO")[0].learn(256, callback=bridge)
    with pytest.warns(
        PufferWarning,
        match="expected no rows after step 0, where this run begins, got rows up to step 256 of an earlier run",
    ):
        make("PPO")[0].learn(128, callback=bridge)


def test_a_missing_stable_baselines3_gives_the_command_that_installs_it():
    code = (
        "import sys; sys.modules['stable_baselines3'] = None\n"
        "from puffer_callbacks.adapters import Loop, PuffeRLBridge\n"
        "try:\n    from puffer_callbacks.adapters import SB3Bridge\n"
        "except ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'SB3Bridge needs Stable-Baselines3: pip install "puffer_callbacks[sb3]"'
