"""A small PPO run whose weights and records are the same every time, whatever its loggers do."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import Logger
from torch import Tensor

from puffer_callbacks import (
    HistogramCallback,
    HyperparametersCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    RolloutCallback,
    Text,
    log,
)
from puffer_callbacks.ppo import PPO

STEPS_PER_ROLLOUT, ROLLOUTS = 128, 6
STEPS = [STEPS_PER_ROLLOUT * (at + 1) for at in range(ROLLOUTS)]
_TIMED = ("time/elapsed", "throughput/sps", "logging/overhead_pct")
_PACKAGE = "puffer_callbacks"


class Says(pl.Callback):
    """Logs words, and does something else, with each rollout."""

    def __init__(self, action: Any = None) -> None:
        self.action = action
        self.rollouts = 0

    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Any) -> None:
        self.rollouts += 1
        log(trainer, {"words": Text(f"rollout {self.rollouts}")})
        if self.action is not None:
            self.action(self.rollouts, trainer)


def train(
    loggers: Sequence[Logger],
    folder: Path,
    *,
    action: Any = None,
    strict: bool = False,
    callbacks: Sequence[pl.Callback] = (),
    **arguments: Any,
) -> Tensor:
    """Six rollouts of 128 steps; ``action(rollout, trainer)`` is called as each ends. Returns the final weights."""
    module = PPO(
        "CartPole",
        total_timesteps=STEPS[-1],
        num_envs=4,
        num_steps=32,
        batch_size=64,
        update_epochs=2,
        hidden_sizes=[8],
    )
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=list(loggers),
        callbacks=[
            Recorder(overhead_budget=1.0, strict=strict),
            MetricsCallback(every_n_steps=4),
            RolloutCallback(),
            HistogramCallback(every_n_steps=8),
            HyperparametersCallback(),
            Says(action),
            *callbacks,
        ],
        default_root_dir=folder,
        log_every_n_steps=1,
        **{**quiet, **arguments},
    )
    trainer.fit(module)
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def record(logger: MemoryLogger) -> dict[str, list[tuple[int, Any]]]:
    """All that a memory logger was given, but for what a clock says; histograms as their counts."""
    return {
        tag: [(step, _comparable(value)) for step, value in logger.series(tag)]
        for tag in logger.tags
        if tag not in _TIMED
    }


def _comparable(value: Any) -> Any:
    if isinstance(value, float):
        return "nan" if math.isnan(value) else value
    return value.counts.tolist() if hasattr(value, "counts") else repr(value)
