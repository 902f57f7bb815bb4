"""``puffer-callbacks train``."""

import logging
import os
import warnings
from pathlib import Path
from time import strftime
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger

from puffer_callbacks.callbacks import default_callbacks
from puffer_callbacks.cli.arguments import hyperparameters
from puffer_callbacks.cli.outputs import run_folder, tensorboard_logger, wandb_logger
from puffer_callbacks.cli.progress import WINDOW, ProgressCallback
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.ppo import PPO
from puffer_callbacks.ppo.envs import resolve_env_id
from puffer_callbacks.ppo.presets import preset

_CHECKPOINTS = 20
"""Checkpoints over a run; the latest is kept."""


def presets_for(env: str) -> dict[str, Any]:
    """The hyperparameters that are known to learn the environment.

    Raises:
        ValueError: if the environment is unknown; the line names near ones.
    """
    return preset(resolve_env_id(env))


def train(options: Any) -> int:
    """Train as the options say, and print where to look.

    Args:
        options: what ``train_parser`` parsed.

    Returns:
        The exit status.

    Raises:
        ValueError: for bad input, before anything is written.
    """
    _quiet()
    torch.set_num_threads(1)  # networks of this size are faster on one, and the other cores stay free
    seed_everything(options.seed, verbose=False)
    module = PPO(options.env, **{name: options[name] for name, *_ in hyperparameters()})
    checkpoint = _checkpoint(options.checkpoint)
    folder = run_folder(options.log_dir or _default_folder(options), options.run_name, resumes=checkpoint is not None)
    loggers, lines = _loggers(options, folder)
    progress = ProgressCallback(int(options.total_timesteps))
    trainer = _trainer(module, loggers, [*default_callbacks(), progress], folder)
    try:
        trainer.fit(module, ckpt_path=checkpoint)
    finally:
        _finish(loggers)
    interrupted = " (interrupted)" if trainer.interrupted else ""
    print(f"Mean return of the last {WINDOW} episodes: {progress.mean_return:.1f}{interrupted}")
    print(f"Checkpoint: {folder / 'checkpoints' / 'last.ckpt'}")
    print("\n".join(lines))
    return 0


def _trainer(module: PPO, loggers: list[Logger], callbacks: list[Callback], folder: Path) -> Trainer:
    every = max(1, module.num_rollouts // _CHECKPOINTS)
    keep = ModelCheckpoint(
        dirpath=folder / "checkpoints", filename="last", every_n_epochs=every, enable_version_counter=False
    )
    return Trainer(
        logger=loggers,
        callbacks=[*callbacks, keep],
        max_epochs=-1,  # the module stops at total_timesteps
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="auto",
        devices=1,
    )


def _loggers(options: Any, folder: Path) -> tuple[list[Logger], list[str]]:
    """TensorBoard, unless only W&B was asked for."""
    loggers: list[Logger] = []
    lines: list[str] = []
    if options.wandb:
        resumes = options.checkpoint is not None
        logger, line = wandb_logger(folder, options.wandb_project, options.run_name, resumes=resumes)
        loggers.append(logger)
        lines.append(line)
        print(line)
    if options.log_dir is not None or not options.wandb:
        loggers.append(tensorboard_logger(folder))
        lines += [f"Logs: {folder}", f"Look at them with: tensorboard --logdir {folder}"]
    return loggers, lines


def _finish(loggers: list[Logger]) -> None:
    for logger in loggers:
        if type(logger).__name__ == "WandbLogger":
            logger.experiment.finish()  # type: ignore[attr-defined]


def _default_folder(options: Any) -> str:
    """Where the checkpoint's run is, or a new folder under ``runs``."""
    if options.checkpoint is not None:
        return str(Path(options.checkpoint).parent.parent)
    return str(Path("runs") / f"{resolve_env_id(options.env)}_{strftime('%Y-%m-%d_%H-%M-%S')}".replace("/", "_"))


def _checkpoint(path: str | None) -> str | None:
    if path is not None and not Path(path).is_file():
        raise ValueError(f"--checkpoint: expected a Lightning checkpoint, got {path!r}, which is no file")
    return path


def _quiet() -> None:
    """Say what the user asked for, not what the libraries think of themselves."""
    os.environ.setdefault("WANDB_SILENT", "true")
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore")
    warnings.filterwarnings("default", category=PufferWarning)
