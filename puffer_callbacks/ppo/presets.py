"""Hyperparameters that are known to learn an environment; the others stay at ``PPO``'s defaults."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {
        "total_timesteps": 200_000,
        "learning_rate": 2.5e-3,
        "gamma": 0.98,
        "gae_lambda": 0.8,
        "ent_coef": 0.0,
    },
    "Acrobot-v1": {"total_timesteps": 500_000, "learning_rate": 1e-3},
    "Pendulum-v1": {
        "total_timesteps": 300_000,
        "num_steps": 256,
        "update_epochs": 10,
        "learning_rate": 1e-3,
        "gamma": 0.9,
        "ent_coef": 0.0,
        "norm_obs": True,
        "norm_reward": True,
    },
}


def preset(env_id: str) -> dict[str, Any]:
    """A copy of the environment's hyperparameters; empty where none are known.

    Args:
        env_id: full name, as ``resolve_env_id`` gives it.

    Example:
        >>> preset("CartPole-v1")["learning_rate"]
        0.0025
    """
    return dict(PRESETS.get(env_id, {}))
