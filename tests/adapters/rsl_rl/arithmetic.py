"""The real ``OnPolicyRunner`` on environments of arithmetic."""

from typing import Any

import torch
from rsl_rl.env import VecEnv
from rsl_rl.runners import OnPolicyRunner
from tensordict import TensorDict

ENVS, STEPS = 8, 16


class Arithmetic(VecEnv):
    """Environment n pays n + 1 at each step and ends every 5 + n steps, the even ones by a time limit."""

    num_envs, num_actions, max_episode_length, device, cfg = ENVS, 2, 100, "cpu", {}

    def __init__(self):
        self.episode_length_buf = torch.zeros(ENVS, dtype=torch.long)
        self.generator = torch.Generator().manual_seed(1)

    def get_observations(self):
        seen = torch.randn(ENVS, 3, generator=self.generator)
        return TensorDict({"policy": seen, "privileged": seen.repeat(1, 2)}, [ENVS])

    def step(self, actions):
        self.episode_length_buf += 1
        dones = (self.episode_length_buf >= 5 + torch.arange(ENVS)).long()
        self.episode_length_buf *= 1 - dones
        extras = {"time_outs": dones * (torch.arange(ENVS) % 2 == 0), "log": {"/Episode_Reward/alive": 0.5}}
        return self.get_observations(), torch.arange(1.0, ENVS + 1), dones, extras


def make_runner(**algorithm: Any) -> OnPolicyRunner:
    """PPO; ``algorithm`` overrides its settings."""
    torch.manual_seed(1)
    network = {"class_name": "MLPModel", "hidden_dims": [8], "activation": "elu"}
    gaussian = {"class_name": "GaussianDistribution", "init_std": 1.0}
    ppo = {"class_name": "PPO", "num_learning_epochs": 2, "num_mini_batches": 4, "schedule": "adaptive"}
    config = {
        "num_steps_per_env": STEPS,
        "save_interval": 1000,
        "obs_groups": {"actor": ["policy"], "critic": ["policy", "privileged"]},
        "actor": {**network, "distribution_cfg": gaussian},
        "critic": network,
        "algorithm": {**ppo, "desired_kl": 0.01, **algorithm},
    }
    return OnPolicyRunner(Arithmetic(), config, None, "cpu")
