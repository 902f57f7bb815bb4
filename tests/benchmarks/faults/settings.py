"""A run, and the hyperparameters of our PPO's."""

from dataclasses import dataclass, field
from typing import Any

from puffer_callbacks.ppo import preset

_TOTALS = {"CartPole-v1": 60_000, "Acrobot-v1": 60_000, "Pendulum-v1": 80_000, "MountainCar-v0": 60_000}
_MOUNTAIN_CAR = {"num_envs": 16, "num_steps": 64, "norm_obs": True, "norm_reward": True, "learning_rate": 1e-3}


@dataclass(frozen=True)
class Job:
    """One run.

    Args:
        group: ``"fault"``, ``"healthy"``, ``"muprl"`` or ``"report"``.
        name: of the fault or of the configuration.
        trainer: ``"ours"``, ``"PuffeRL"``, ``"CleanRL"`` or the name of a Stable-Baselines3 algorithm.
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
