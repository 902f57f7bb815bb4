"""Hyperparameters that are known to learn an environment; what is not named stays at PPO's default."""

from typing import Any

PRESETS: dict[str, dict[str, Any]] = {
    "CartPole-v1": {"total_timesteps": 200_000},
    "Acrobot-v1": {"total_timesteps": 500_000},
    "Pendulum-v1": {"total_timesteps": 300_000},
}
