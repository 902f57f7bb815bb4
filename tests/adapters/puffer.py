"""The real PuffeRL trainer on a CPU. Importing this changes the process: use it in a subprocess only."""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pufferlib.emulation
import pufferlib.models
import pufferlib.pufferl
import pufferlib.pufferlib
import pufferlib.vector
import torch
from torch import Tensor, library

_LIBRARY = library.Library("pufferlib", "FRAGMENT")


def _advantage(
    values: Tensor,
    rewards: Tensor,
    dones: Tensor,
    importance: Tensor,
    advantages: Tensor,
    gamma: float,
    lam: float,
    rho_clip: float,
    c_clip: float,
) -> None:
    """The kernel of pufferlib.cpp, whose compiled form needs CUDA; all but the factors [segments, horizon]."""
    v, r, ended, ratio = (
        np.ascontiguousarray(part.detach().numpy().T) for part in (values, rewards, dones, importance)
    )
    alive = 1.0 - ended[1:]
    deltas = np.minimum(ratio[:-1], rho_clip) * (r[1:] + gamma * v[1:] * alive - v[:-1])
    decay = gamma * lam * np.minimum(ratio[:-1], c_clip) * alive
    found = np.zeros_like(v)
    for t in range(len(v) - 2, -1, -1):  # NumPy, as the compiled one takes microseconds
        found[t] = deltas[t] + decay[t] * found[t + 1]
    advantages[:, :-1] = torch.from_numpy(found[:-1].T)


if not pufferlib.pufferl._C_AVAILABLE:
    _LIBRARY.define(
        "compute_puff_advantage(Tensor values, Tensor rewards, Tensor dones, Tensor importance, "
        "Tensor(a!) advantages, float gamma, float lam, float rho_clip, float c_clip) -> ()"
    )
    _LIBRARY.impl("compute_puff_advantage", _advantage, "CPU")
    pufferlib.pufferl._C_AVAILABLE = True


class Pair(pufferlib.pufferlib.PufferEnv):
    """Two agents with a reward for naming what they see, in episodes of 10 steps."""

    def __init__(self, buf: Any = None, seed: int = 0) -> None:
        self.single_observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float32)
        self.single_action_space = gymnasium.spaces.Discrete(3)
        self.num_agents = 2
        super().__init__(buf)
        self._random = np.random.default_rng(seed)

    def reset(self, seed: int | None = None) -> tuple[Any, list[Any]]:
        self._at = 0
        self._show()
        return self.observations, []

    def step(self, actions: Any) -> tuple[Any, ...]:
        self.rewards[:] = self.observations[[0, 1], np.asarray(actions).reshape(-1)]
        self._at += 1
        self.terminals[:] = self._at % 10 == 0
        self._show()
        infos = [{"episode_return": 7.0, "episode_length": 10, "note": "text"}] if self.terminals[0] else []
        return self.observations, self.rewards, self.terminals, self.truncations, infos

    def close(self) -> None:
        """Nothing to close."""

    def _show(self) -> None:
        self.observations[:] = np.eye(3, dtype=np.float32)[self._random.integers(0, 3, 2)]


def make_env(env_id: str) -> Any:
    def make(buf: Any = None, seed: int = 0) -> Any:
        env = pufferlib.pufferlib.EpisodeStats(gymnasium.make(env_id))
        return pufferlib.emulation.GymnasiumPufferEnv(env=env, buf=buf, seed=seed)

    return make


def make_parts(env_id: str = "CartPole-v1", *, num_envs: int = 8, use_rnn: bool = False) -> tuple[Any, Any]:
    """Environments and a policy for them; ``"pair"`` is the environment of two agents."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    creator = Pair if env_id == "pair" else make_env(env_id)
    vecenv = pufferlib.vector.make(creator, backend=pufferlib.vector.Serial, num_envs=num_envs)
    policy = pufferlib.models.Default(vecenv.driver_env, hidden_size=32)
    if use_rnn:
        policy = pufferlib.models.LSTMWrapper(vecenv.driver_env, policy, input_size=32, hidden_size=32)
    return vecenv, policy


def make_trainer(
    folder: Any,
    env_id: str = "CartPole-v1",
    *,
    num_envs: int = 8,
    use_rnn: bool = False,
    logger: Any = None,
    wrap: Any = lambda policy: policy,
    **config: Any,
) -> Any:
    """A PuffeRL trainer; ``config`` overrides ``CONFIG``."""
    vecenv, policy = make_parts(env_id, num_envs=num_envs, use_rnn=use_rnn)
    config = {**CONFIG, "use_rnn": use_rnn, "data_dir": str(folder), **config}
    return pufferlib.pufferl.PuffeRL(config, vecenv, wrap(policy), logger)


CONFIG: dict[str, Any] = {
    "env": "test",
    "torch_deterministic": True,
    "seed": 1,
    "batch_size": "auto",
    "bptt_horizon": 16,
    "device": "cpu",
    "cpu_offload": False,
    "minibatch_size": 64,
    "max_minibatch_size": 64,
    "update_epochs": 1,
    "compile": False,
    "compile_mode": "default",
    "compile_fullgraph": False,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_eps": 1e-8,
    "total_timesteps": 2048,
    "precision": "float32",
    "prio_beta0": 0.2,
    "prio_alpha": 0.8,
    "clip_coef": 0.2,
    "vf_clip_coef": 0.2,
    "vf_coef": 2.0,
    "ent_coef": 0.001,
    "gamma": 0.99,
    "gae_lambda": 0.95,
    "vtrace_rho_clip": 1.0,
    "vtrace_c_clip": 1.0,
    "max_grad_norm": 0.5,
    "anneal_lr": True,
    "checkpoint_interval": 1000,
}


def train(trainer: Any) -> None:
    """To the end, as ``pufferl.train`` does, without its final evaluation."""
    while trainer.global_step < trainer.config["total_timesteps"]:
        trainer.evaluate()
        trainer.train()
    path = trainer.close()
    trainer.logger.close(path)


def run_script(main: Callable[[Path], None]) -> None:
    """Run a script with the folder that it is given; a fault ends the process, whose trainer's thread would go on."""
    try:
        main(Path(sys.argv[1]))
    except BaseException:
        traceback.print_exc()
        os._exit(1)


assert "pytest" not in sys.modules, "importing PufferLib changes the process: run this in a subprocess"
