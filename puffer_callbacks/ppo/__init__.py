"""The reference PPO: a ``LightningModule`` that hands its rollouts and metrics to the callbacks."""

from puffer_callbacks.ppo.envs import make_envs, resolve_env_id
from puffer_callbacks.ppo.module import PPO
from puffer_callbacks.ppo.presets import PRESETS, preset

__all__ = ["PPO", "PRESETS", "make_envs", "preset", "resolve_env_id"]
