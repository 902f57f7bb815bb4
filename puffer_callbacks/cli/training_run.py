"""One run of the command line: its folder, its loggers, its trainer."""

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from puffer_callbacks.backends.retrying_writer import FLUSH_SECONDS
from puffer_callbacks.callbacks import default_callbacks
from puffer_callbacks.cli import wandb_run
from puffer_callbacks.cli.checkpoint import RunCheckpoint
from puffer_callbacks.cli.defaults import Defaults
from puffer_callbacks.cli.folders import RunFolder, run_folder
from puffer_callbacks.cli.progress import ProgressCallback
from puffer_callbacks.ppo import PPO

_HISTOGRAMS = 30
"""Histograms of a series over a run, at least."""


@dataclass(frozen=True)
class TrainingRun:
    """A run that is ready to train.

    Args:
        module: what is trained.
        folder: where it is logged.
        tensorboard: its event files, unless only W&B was asked for.
        wandb: its W&B run, if that was asked for.
        progress: its bar.
        checkpoint: saves it.
        trainer: with all of these.
        source: the checkpoint that it starts from, if any.
    """

    module: PPO
    folder: RunFolder
    tensorboard: TensorBoardLogger | None
    wandb: WandbLogger | None
    progress: ProgressCallback
    checkpoint: RunCheckpoint
    trainer: Trainer
    source: Path | None

    def announce(self) -> None:
        """Print what is trained and where it is logged."""
        if self.folder.path != self.folder.asked_for:
            print(f"{self.folder.asked_for} holds a run already; this one is beside it.")
        env_id, steps = self.module.hparams["env_id"], self.module.env_steps
        planned = f"{self.module.planned_steps:,}"
        span = f"from {steps:,} to {planned}" if steps else f"for {planned}"
        print(f"Training PPO on {env_id} {span} env steps in {self.folder.path}")
        if self.wandb is not None:
            print(f"W&B: {wandb_run.location(self.wandb)}")

    def close(self) -> None:
        """Close the W&B run."""
        if self.wandb is not None:
            self.wandb.experiment.finish()


def open_run(module: PPO, options: Namespace, defaults: Defaults) -> TrainingRun:
    """Make the run's folder and open its loggers.

    Raises:
        UsageError: if the folder cannot be made or used, or W&B is not installed.
    """
    if options.wandb:
        wandb_run.check_installed()
    saved = defaults.saved
    base = Path(options.log_dir) if options.log_dir else defaults.folder()
    folder = run_folder(base, options.run_name, continues=saved.folder if saved else None)
    tensorboard = None if options.wandb and not options.log_dir else tensorboard_logger(folder.path)
    wandb = wandb_run.wandb_logger(folder, options.wandb_project, options.run_name) if options.wandb else None
    progress, checkpoint = ProgressCallback(), RunCheckpoint(folder.path / "checkpoints" / "last.ckpt")
    callbacks = [*default_callbacks(histograms=histogram_interval(module)), progress, checkpoint]
    trainer = _trainer([logger for logger in (wandb, tensorboard) if logger is not None], callbacks)
    return TrainingRun(module, folder, tensorboard, wandb, progress, checkpoint, trainer, saved.path if saved else None)


def histogram_interval(module: PPO) -> int:
    """Optimizer steps between histograms: 1000, or fewer where a short run would have too few to compare."""
    return max(1, min(1000, module.num_rollouts * len(module.train_dataloader()) // _HISTOGRAMS))


def tensorboard_logger(folder: Path) -> TensorBoardLogger:
    """TensorBoard's event files in the folder itself."""
    Path(folder, "hparams.yaml").unlink(missing_ok=True)  # of the part before; the logger writes it anew
    return TensorBoardLogger(folder, name="", version="", default_hp_metric=False, flush_secs=int(FLUSH_SECONDS))


def _trainer(loggers: list[Logger], callbacks: list[Callback]) -> Trainer:
    return Trainer(
        logger=loggers,
        callbacks=callbacks,
        max_epochs=-1,  # the module stops at total_timesteps
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="auto",
        devices=1,
    )
