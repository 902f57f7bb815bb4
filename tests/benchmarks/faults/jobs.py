"""Every run of the benchmark: the faults, the healthy ones, and those between."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from puffer_callbacks.ppo import preset
from tests.benchmarks.faults import ppo_faults, sb3_faults

_TOTALS = {"CartPole-v1": 60_000, "Acrobot-v1": 60_000, "Pendulum-v1": 80_000, "MountainCar-v0": 60_000}
_MOUNTAIN_CAR = {"num_envs": 16, "num_steps": 64, "norm_obs": True, "norm_reward": True, "learning_rate": 1e-3}
_LEARNABLE = ("CartPole-v1", "Acrobot-v1", "Pendulum-v1", "MountainCar-v0")

VARIANTS: dict[str, dict[str, Any]] = {
    "preset": {},
    "ReLU": {"activation": "relu"},
    "no annealing": {"anneal_lr": False},
    "value clipping": {"clip_vloss": True},
    "target KL": {"target_kl": 0.03},
    "normalized": {"norm_obs": True, "norm_reward": True},
    "16 environments": {"num_envs": 16, "batch_size": 512},
    "raw advantages": {"norm_adv": False},
    "small network": {"hidden_sizes": [32]},
    "no gradient limit": {"max_grad_norm": None},
    "entropy 0.02": {"ent_coef": 0.02},
    "one minibatch": {"batch_size": 2048},
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


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        group: ``"fault"``, ``"healthy"``, ``"muprl"`` or ``"report"``.
        name: of the fault or of the configuration.
        trainer: ``"ours"`` or the name of a Stable-Baselines3 algorithm.
        env_id: the environment.
        seed: of the run.
        options: hyperparameters.
    """

    group: str
    name: str
    trainer: str
    env_id: str
    seed: int
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        parts = (self.group, self.trainer, self.env_id, self.name, f"seed{self.seed}")
        return "+".join("".join(c if c.isalnum() else "-" for c in part) for part in parts)


def ppo_options(env_id: str, options: dict[str, Any]) -> dict[str, Any]:
    """Hyperparameters of a short run of the reference PPO."""
    options = dict(options)
    base = _MOUNTAIN_CAR if env_id == "MountainCar-v0" else preset(env_id)
    total = _TOTALS[env_id] * options.pop("cut", 1.0)
    factor = options.pop("learning_rate_factor", 1.0)
    chosen = {**base, "total_timesteps": int(total), **options}
    return chosen if factor == 1.0 else {**chosen, "learning_rate": factor * chosen.get("learning_rate", 2.5e-4)}


def all_jobs(*, seeds: tuple[int, ...] = (1, 2, 3)) -> list[Job]:
    """Every job, the most informative first."""
    jobs: list[Job] = []
    healthy = list(_healthy())
    for at, seed in enumerate(seeds):
        jobs += [*_faults(seed), *_reports(seed), *healthy[at :: len(seeds)]]
    for seed in seeds[:2]:
        jobs += [
            Job("muprl", name, "ours", env_id, seed, options)
            for name, options in MUPRL.items()
            for env_id in _LEARNABLE
        ]
    return jobs


def _faults(seed: int) -> Iterator[Job]:
    for fault in ppo_faults.FAULTS:
        for env_id in fault.envs:
            yield Job("fault", fault.name, "ours", env_id, seed, dict(fault.options))
    for other in sb3_faults.FAULTS:
        for env_id in other.envs:
            yield Job("fault", other.name, other.trainer, env_id, seed)


def _healthy() -> Iterator[Job]:
    for seed in (1, 2, 3):
        for at, (name, options) in enumerate(VARIANTS.items()):
            if seed < 3 or at < 4:
                for env_id in _LEARNABLE:
                    yield Job("healthy", name, "ours", env_id, seed, options)
        for trainer, env_id in sb3_faults.SETTINGS:
            yield Job("healthy", "zoo", trainer, env_id, seed)


def _reports(seed: int) -> Iterator[Job]:
    """Two real reports: entropy coefficient 0.15 without reward normalization; sampler and learner that drift."""
    yield Job(
        "report", "entropy 0.15, large rewards", "ours", "Acrobot-v1", seed, {"ent_coef": 0.15, "norm_adv": False}
    )
    yield Job(
        "report",
        "sampler drifts, clip fraction 0",
        "ours",
        "CartPole-v1",
        seed,
        {"update_epochs": 1, "batch_size": 1024},
    )
