"""Sound runs: environments, trainers, configurations and seeds in which nothing is wrong."""

from collections.abc import Iterator
from typing import Any

from tests.benchmarks.faults.settings import Job

VARIANTS: dict[str, dict[str, Any]] = {
    "preset": {},
    "ReLU": {"activation": "relu"},
    "no annealing": {"anneal_lr": False},
    "value clipping": {"clip_vloss": True},
    "target KL": {"target_kl": 0.03},
    "normalized": {"norm_obs": True, "norm_reward": True},
    "16 environments": {"num_envs": 16, "batch_size": 512},
    "1 environment": {"num_envs": 1, "num_steps": 1024},
    "raw advantages": {"norm_adv": False},
    "small network": {"hidden_sizes": [32]},
    "no gradient limit": {"max_grad_norm": None},
    "entropy 0.02": {"ent_coef": 0.02},
    "one minibatch": {"batch_size": 1024},
}
"""Sound ways to configure PPO."""

MUPRL: dict[str, dict[str, Any]] = {
    "entropy coefficient 0.2": {"ent_coef": 0.2},
    "entropy coefficient 0.05": {"ent_coef": 0.05},
    "gamma 0.45": {"gamma": 0.45},
    "gamma 0.9": {"gamma": 0.9},
    "2 steps a rollout": {"num_steps": 2, "batch_size": 16},
    "3072 steps a rollout": {"num_steps": 3072},
    "training cut to 10 %": {"cut": 0.1},
    "training cut to 50 %": {"cut": 0.5},
}
"""Mutation operators of muPRL (ICSE 2025) for PPO."""

_SEEDS: dict[tuple[str, str], int] = {
    ("DQN", "CartPole-v1"): 4,
    ("DQN", "Acrobot-v1"): 2,
    ("SAC", "Pendulum-v1"): 4,
    ("TD3", "Pendulum-v1"): 4,
    ("PPO", "CartPole-v1"): 4,
    ("PPO", "Acrobot-v1"): 3,
    ("PPO", "Pendulum-v1"): 2,
    ("A2C", "CartPole-v1"): 5,
    ("A2C", "Acrobot-v1"): 4,
    ("A2C", "MountainCarContinuous-v0"): 3,
    ("PuffeRL", "CartPole-v1"): 5,
    ("PuffeRL", "Acrobot-v1"): 2,
    ("CleanRL", "CartPole-v1"): 3,
}
"""Runs of the other trainers, each with a seed of its own."""

_ONLY = {"1 environment": ("CartPole-v1", "Acrobot-v1"), "one minibatch": ("CartPole-v1",)}
"""Configurations that take too long, learn too little, or are others elsewhere, where rollouts have another size."""
_SHORTER = {"CartPole-v1": 40_000}
"""Steps of our PPO in an environment that it learns sooner than the faults' runs last."""


def healthy_jobs() -> Iterator[Job]:
    """The sound runs, one of each kind first."""
    for seed in range(1, 6):
        for (trainer, env_id), seeds in _SEEDS.items():
            if seed <= seeds:
                yield Job("healthy", "zoo", trainer, env_id, seed)
        for env_id in ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCar-v0"):
            yield from _ours(env_id, seed)


def _ours(env_id: str, seed: int) -> Iterator[Job]:
    """All configurations with the first seeds where runs are short, and elsewhere some with each."""
    for at, (name, options) in enumerate(VARIANTS.items()):
        if env_id not in _ONLY.get(name, (env_id,)):
            continue
        if seed <= 3 if env_id == "CartPole-v1" else at % 5 == seed - 1:
            total = {"total_timesteps": _SHORTER[env_id]} if env_id in _SHORTER else {}
            yield Job("healthy", name, "ours", env_id, seed, {**options, **total})


def mutated_jobs() -> Iterator[Job]:
    """muPRL's operators, which are judged by whether the return suffers."""
    for seed in (1, 2):
        for name, options in MUPRL.items():
            for env_id in ("CartPole-v1", "Acrobot-v1"):
                yield Job("muprl", name, "ours", env_id, seed, options)
