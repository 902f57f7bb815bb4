"""Logs as other libraries write them, of runs that are known to be sound or ill."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 60


def puffer_rows(
    *, entropy_collapses: bool = False, vanishes: bool = False, count: int = ROWS
) -> Iterator[dict[str, Any]]:
    """Rows of PufferLib's newest trainer: a run that learns, one that does not, or one whose losses vanish."""
    for at in range(1, count + 1):
        rate = 0.0 if entropy_collapses else 0.01
        losses = {
            "loss/policy": -0.01 * math.cos(at),
            "loss/value": 0.3 + 0.01 * math.sin(at),
            "loss/entropy": 0.69 - 0.005 * at,
            "loss/kl": 0.004 + 0.001 * math.sin(at),
            "loss/clipfrac": 0.1,
        }
        yield {
            "SPS": 1.5e6 + 1e4 * math.sin(at),
            "agent_steps": 4096 * at,
            "uptime": 1.5 * at,
            "epoch": at,
            "env/episode_return": 20.0 + (0 if entropy_collapses else 4 * at) + math.sin(3 * at),
            "learning_rate": rate,
            **({} if vanishes and at > count // 2 else losses),
        }


def write_lines(path: Path, rows: Iterator[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stable_baselines(folder: Path, *, steps: int, **hyperparameters: Any) -> None:
    """Stable-Baselines3's own TensorBoard and CSV output of a run on CartPole."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.logger import configure

    settings = {"n_steps": 64, "batch_size": 64, "n_epochs": 2, "seed": 1, "device": "cpu"}
    model = PPO("MlpPolicy", "CartPole-v1", **{**settings, **hyperparameters})
    model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
    model.learn(steps)
    model.logger.close()


def cleanrl(folder: Path, *, kl: float) -> None:
    """A run as CleanRL's scripts write it, by torch's ``SummaryWriter``."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        writer.add_text("hyperparameters", "|param|value|\n|-|-|\n|clip_coef|0.2|")
        for at in range(1, ROWS + 1):
            step = 512 * at
            writer.add_scalar("charts/episodic_return", 20 + 5 * at + math.sin(at), step)
            writer.add_scalar("charts/learning_rate", 2.5e-4 * (1 - at / (ROWS + 1)), step)
            writer.add_scalar("losses/approx_kl", kl, step)
            writer.add_scalar("losses/clipfrac", 0.1, step)
            writer.add_scalar("losses/entropy", 0.69 - 0.002 * at, step)
            writer.add_scalar("losses/value_loss", 10 / at, step)
            writer.add_scalar("losses/explained_variance", 1 - 1 / at, step)
