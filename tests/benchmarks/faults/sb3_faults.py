"""Bugs of Stable-Baselines3's DQN and SAC."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium
import torch
from stable_baselines3 import DQN, SAC
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import nn

from tests.benchmarks.faults import wrappers
from tests.benchmarks.faults.sb3_settings import ALGORITHMS, SETTINGS


class NoTargetUpdate(DQN):
    """The target network is never updated."""

    def _on_step(self) -> None:
        self._n_calls += 1
        self.exploration_rate = self.exploration_schedule(self._current_progress_remaining)
        self.logger.record("rollout/exploration_rate", self.exploration_rate)


class EpsilonStays(DQN):
    """The exploration rate stays 1."""

    def _on_step(self) -> None:
        super()._on_step()
        self.exploration_rate = 1.0
        self.logger.record("rollout/exploration_rate", self.exploration_rate)


class NoUpdates(DQN):
    """Learning starts after the run's end."""

    def train(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


class SACNoTargetUpdate(SAC):
    """The target critics are never updated."""

    def train(self, *args: Any, **kwargs: Any) -> None:
        tau, self.tau = self.tau, 0.0
        super().train(*args, **kwargs)
        self.tau = tau


class SACTemperature(SAC):
    """The temperature is 20, whatever was configured."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.ent_coef_optimizer, self.log_ent_coef = None, None
        self.ent_coef_tensor = torch.tensor(20.0)


@dataclass(frozen=True)
class SB3Fault:
    """A bug of an off-policy algorithm: as ``ppo_faults.Fault``."""

    name: str
    causes: tuple[str, ...]
    trainer: str
    envs: tuple[str, ...]
    kind: type[Any] | None = None
    change: Callable[[], Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    after: Callable[[Any], None] | None = None
    begins: float = 0.0


def _constant(change: Any) -> Callable[[], Any]:
    return lambda: change


def _kill_units(model: Any) -> None:
    for part in model.policy.modules():
        if isinstance(part, nn.Sequential):
            linear = [layer for layer in part if isinstance(layer, nn.Linear)]
            if len(linear) > 1:
                with torch.no_grad():
                    linear[1].bias.fill_(-20.0)


def _rate(value: float) -> Callable[[Any], None]:
    """The optimizers' rate, whatever the schedule says."""

    def change(model: Any) -> None:
        def update(optimizers: Any) -> None:
            for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
                for group in optimizer.param_groups:
                    group["lr"] = value
            model.logger.record("train/learning_rate", value)

        model._update_learning_rate = update

    return change


_DQN, _SAC = ("CartPole-v1", "Acrobot-v1", "MountainCar-v0"), ("Pendulum-v1",)
FAULTS = (
    SB3Fault("target network never updated", ("target_not_updated",), "DQN", _DQN, NoTargetUpdate),
    SB3Fault("epsilon stays 1", ("epsilon_stays",), "DQN", _DQN, EpsilonStays),
    SB3Fault("never updates", ("no_updates",), "DQN", _DQN[:1], NoUpdates),
    SB3Fault("learning rate x 100", ("learning_rate_high",), "DQN", _DQN[:2], options={"learning_rate": 0.2}),
    SB3Fault("learning rate 0", ("learning_rate_zero",), "DQN", _DQN[:2], after=_rate(0.0)),
    SB3Fault(
        "NaN in one observation", ("nonfinite_observation",), "DQN", _DQN[:2], change=wrappers.NanOnce, begins=0.4
    ),
    SB3Fault("reward x 1e4", ("reward_scale_large",), "DQN", _DQN[:2], change=_constant(wrappers.scaled_reward(1e4))),
    SB3Fault("reward 0", ("reward_missing",), "DQN", _DQN[:2], change=_constant(wrappers.scaled_reward(0.0))),
    SB3Fault(
        "constant observation",
        ("observation_constant",),
        "DQN",
        _DQN[:2],
        change=_constant(wrappers.constant_observation),
    ),
    SB3Fault("dead ReLUs", ("dead_units",), "DQN", _DQN[:2], after=_kill_units),
    SB3Fault("gamma 0.45", ("gamma_low",), "DQN", _DQN[:2], options={"gamma": 0.45}),
    SB3Fault("target network never updated", ("target_not_updated",), "SAC", _SAC, SACNoTargetUpdate),
    SB3Fault("temperature fixed at 20", ("temperature_high",), "SAC", _SAC, SACTemperature),
    SB3Fault("learning rate x 100", ("learning_rate_high",), "SAC", _SAC, options={"learning_rate": 0.1}),
    SB3Fault("learning rate 0", ("learning_rate_zero",), "SAC", _SAC, after=_rate(0.0)),
    SB3Fault("NaN in one observation", ("nonfinite_observation",), "SAC", _SAC, change=wrappers.NanOnce, begins=0.4),
    SB3Fault("reward x 1e4", ("reward_scale_large",), "SAC", _SAC, change=_constant(wrappers.scaled_reward(1e4))),
    SB3Fault("reward 0", ("reward_missing",), "SAC", _SAC, change=_constant(wrappers.scaled_reward(0.0))),
    SB3Fault(
        "constant observation", ("observation_constant",), "SAC", _SAC, change=_constant(wrappers.constant_observation)
    ),
    SB3Fault("gamma 0.45", ("gamma_low",), "SAC", _SAC, options={"gamma": 0.45}),
)


def make_model(trainer: str, env_id: str, seed: int, fault: SB3Fault | None = None) -> tuple[Any, int]:
    """The algorithm, made ready to learn, and for how many environment steps."""
    steps, options = SETTINGS[trainer, env_id]
    # a copy, as Stable-Baselines3 writes into policy_kwargs
    options = copy.deepcopy({**options, **(fault.options if fault is not None else {})})
    n_envs, normalize = options.pop("n_envs", 1), options.pop("normalize", False)

    def make() -> Any:
        env = gymnasium.make(env_id)
        if fault is not None and fault.change is not None:
            env = wrappers.BrokenEnv(env, fault.change(), starts_at=int(fault.begins * steps))
        return Monitor(env)

    kind = fault.kind if fault is not None and fault.kind is not None else ALGORITHMS[trainer]
    envs: VecEnv = DummyVecEnv([make] * n_envs)
    if normalize:
        envs = VecNormalize(envs)
    model = kind("MlpPolicy", envs, seed=seed, device="cpu", verbose=0, **options)
    if fault is not None and fault.after is not None:
        fault.after(model)
    return model, steps
