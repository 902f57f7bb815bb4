"""What the command line prints when a run ends."""

import shlex
import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from puffer_callbacks.cli import wandb_run
from puffer_callbacks.cli.curve import braille_curve, rounded
from puffer_callbacks.cli.progress import ProgressCallback
from puffer_callbacks.cli.training_run import TrainingRun
from puffer_callbacks.values.durations import duration
from puffer_callbacks.values.terminal import terminal_width

_WIDTH = 60
_MARGIN = 10  # characters beside the curve, for its largest and smallest value


def print_summary(run: TrainingRun) -> None:
    """Print how a run ended: its return, time and speed, findings, where it is logged, what to do next.

    A character that the output's encoding lacks becomes a question mark.
    """
    encoding = sys.stdout.encoding or "utf-8"
    text = "\n".join((*_results(run), "", *_commands(run)))
    print(text.encode(encoding, errors="replace").decode(encoding))


def _results(run: TrainingRun) -> Iterator[str]:
    progress = run.progress
    yield f"── Return over {progress.env_steps:,} env steps ".ljust(min(_WIDTH, terminal_width()), "─")
    yield from _returns(progress)
    status = "interrupted" if run.trainer.interrupted else "complete"
    speed = f"{duration(progress.seconds)}, {progress.steps_per_second:,.0f} steps per second"
    yield f"Training: {status} at {progress.env_steps:,} env steps ({speed})"
    yield from _findings(run)
    if run.tensorboard is not None:
        yield f"Logs: {run.folder.path}"
    if run.checkpoint.path.exists():
        yield f"Checkpoint: {run.checkpoint.path}"


def _returns(progress: ProgressCallback) -> Iterator[str]:
    if len(progress.curve) > 1:
        yield from braille_curve(progress.curve, width=min(_WIDTH, terminal_width()) - _MARGIN)
    if progress.episodes:
        yield f"Mean return of the last {progress.episodes} episodes: {rounded(progress.mean_return)}"
    else:
        yield "Mean return: none, as no episode has ended"


def _findings(run: TrainingRun) -> Iterator[str]:
    """The findings of each callback that diagnoses the run; no line where none does."""
    trainer: Any = run.trainer  # whose callbacks are an attribute that Lightning does not declare
    lists = [callback.findings for callback in trainer.callbacks if hasattr(callback, "findings")]
    findings = [finding for found in lists for finding in found]
    if lists:
        yield f"Findings: {len(findings) or 'none'}"
    for finding in findings:
        yield from wrap(f"  {finding.severity}: {finding.message}", terminal_width(), subsequent_indent="    ")


def _commands(run: TrainingRun) -> Iterator[str]:
    """Commands that look at the run, judge it and continue it, each after its purpose."""
    commands, folder = {}, str(run.folder.path)
    unsent = wandb_run.offline_folder(run.wandb) if run.wandb is not None else None
    if run.tensorboard is not None:
        commands["Curves"] = ["tensorboard", "--logdir", folder]
    if run.tensorboard is not None or unsent:
        commands["Report"] = ["puffer-callbacks", "plot", folder, "--out", str(run.folder.path / "report.html")]
        commands["Diagnosis"] = ["puffer-callbacks", "diagnose", folder]
    if unsent:
        commands["Send to W&B"] = ["wandb", "sync", str(unsent)]
    if run.checkpoint.path.exists():
        commands["Continue"] = ["puffer-callbacks", "train", *_continuation(run)]
    margin = max(map(len, commands), default=0) + 1
    for purpose, parts in commands.items():
        yield f"{purpose + ':':<{margin}} {shlex.join(parts)}"


def _continuation(run: TrainingRun) -> Iterator[str]:
    """The options that continue the run, in the same folder and loggers; a complete one gets twice its length."""
    yield from ("--checkpoint", str(run.checkpoint.path))
    if not run.trainer.interrupted:
        length = max(run.module.hparams["total_timesteps"], run.module.env_steps)  # one rollout may be more than that
        yield from ("--total-timesteps", str(2 * length))
    if run.wandb is not None:
        yield from ("--wandb", "--wandb-project", run.wandb.experiment.project)
        if run.tensorboard is not None:
            yield from ("--log-dir", str(run.folder.path))
