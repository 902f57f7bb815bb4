"""The commands that a finished run suggests: look at it, judge it, continue it."""

import shlex
from collections.abc import Iterator

from puffer_callbacks.cli import wandb_run
from puffer_callbacks.cli.training_run import TrainingRun


def next_commands(run: TrainingRun) -> dict[str, str]:
    """Purpose to command line."""
    commands: dict[str, list[str]] = {}
    folder = str(run.folder.path)
    if run.tensorboard is not None:
        commands["Curves"] = ["tensorboard", "--logdir", folder]
        page = str(run.folder.path / "report.html")
        commands["Report"] = ["puffer-callbacks", "plot", folder, "--out", page]
        commands["Diagnosis"] = ["puffer-callbacks", "diagnose", folder]
    if run.wandb is not None and (unsent := wandb_run.offline_folder(run.wandb)):
        commands["Send to W&B"] = ["wandb", "sync", str(unsent)]
    if run.checkpoint.path.exists():
        commands["Continue"] = ["puffer-callbacks", "train", *_continuation(run)]
    return {purpose: shlex.join(parts) for purpose, parts in commands.items()}


def _continuation(run: TrainingRun) -> Iterator[str]:
    """The options that continue the run, in the same folder and loggers; a complete one gets twice its length."""
    yield from ("--checkpoint", str(run.checkpoint.path))
    if not run.trainer.interrupted:
        yield from ("--total-timesteps", str(2 * run.module.hparams["total_timesteps"]))
    if run.wandb is not None:
        yield from ("--wandb", "--wandb-project", run.wandb.experiment.project)
        if run.tensorboard is not None:
            yield from ("--log-dir", str(run.folder.path))
