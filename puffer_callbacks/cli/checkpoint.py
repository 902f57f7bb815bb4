"""Checkpoints of the command line: read and checked before a run continues, saved while it trains."""

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint

from puffer_callbacks.cli.parser import UsageError, option, shown
from puffer_callbacks.faults import format_error
from puffer_callbacks.ppo import PPO

_SAVES = 20
"""How often a run is saved, beside its first rollout and its end."""


@dataclass(frozen=True)
class SavedRun:
    """What a checkpoint holds of its run.

    Args:
        path: of the checkpoint.
        env_id: full name of the environment.
        hyperparameters: name to value, the environment left out.
        env_steps: environment steps so far.
        state: the state of the module.
    """

    path: Path
    env_id: str
    hyperparameters: Mapping[str, Any]
    env_steps: int
    state: Mapping[str, Any]

    @property
    def folder(self) -> Path:
        """The folder of the run, in which ``checkpoints`` is."""
        return self.path.parent.parent


def read_checkpoint(path: str) -> SavedRun:
    """Read a checkpoint that ``train`` saved.

    Raises:
        UsageError: if there is no such file, or it is no checkpoint of PPO.
    """
    expected = "--checkpoint: expected a checkpoint that train saved, such as checkpoints/last.ckpt"
    if not Path(path).is_file():
        raise UsageError(f"{expected}, got {path!r}, which is not a file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        hyperparameters = dict(found["hyper_parameters"])
        env_id = hyperparameters.pop("env_id")
        return SavedRun(Path(path), env_id, hyperparameters, found["env_steps"], found["state_dict"])
    except Exception as error:  # torch raises whatever a damaged file leads to
        reason = format_error(error).partition(". ")[0]
        raise UsageError(f"{expected}, got {path!r}, which cannot be read ({reason})") from error


def check_against(saved: SavedRun, env_id: str, hyperparameters: Mapping[str, Any]) -> None:
    """Check that a run continues as the one that was saved; only ``total_timesteps`` may differ.

    Raises:
        UsageError: if an option contradicts the checkpoint; the line names each.
    """
    before = {"env_id": saved.env_id, **saved.hyperparameters}
    after = {"env_id": env_id, **hyperparameters}
    different = [name for name in after if name != "total_timesteps" and shown(after[name]) != shown(before.get(name))]
    if different:
        expected = ", ".join(f"{option(name)} {shown(before.get(name))}" for name in different)
        given = ", ".join(f"{option(name)} {shown(after[name])}" for name in different)
        raise UsageError(f"--checkpoint: expected its own {expected}; got {given}; leave out what differs")


def restore(module: PPO, saved: SavedRun) -> None:
    """Load the weights and the step count, so that a checkpoint that does not fit fails before a logger opens.

    Raises:
        UsageError: if the weights are of other shapes.
    """
    try:
        module.load_state_dict(saved.state)
    except RuntimeError as error:
        reason = format_error(error).partition(". ")[0]
        raise UsageError(f"--checkpoint: expected weights for {saved.env_id}, got others ({reason})") from error
    module.on_load_checkpoint({"env_steps": saved.env_steps})


class RunCheckpoint(Checkpoint):
    """Saves the run after the first rollout, at intervals, at the end and at an interrupt.

    Args:
        path: of the checkpoint, which is replaced each time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stop = False

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Stop at a step's end once Ctrl-C was pressed, so that a resume continues exactly here."""
        if self._stop:
            raise KeyboardInterrupt

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Save where it is due."""
        interval = max(1, pl_module.num_rollouts // _SAVES)
        if trainer.current_epoch % interval == 0 or trainer.should_stop:
            self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: Any, exception: BaseException) -> None:
        """Save the run that Ctrl-C or SIGTERM ends; after an error the last good checkpoint stays."""
        if isinstance(exception, KeyboardInterrupt | SystemExit) and pl_module.env_steps:
            self._save(trainer)

    @contextmanager
    def stops_at_ctrl_c(self) -> Iterator[None]:
        """While the block runs, the first Ctrl-C ends the run after the current step, the second at once."""
        before = signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _on_ctrl_c(self, *_: Any) -> None:
        if self._stop:
            raise KeyboardInterrupt
        self._stop = True
        os.write(2, b"\nStopping after this step; Ctrl-C again stops at once.\n")  # safe in a signal handler

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path)
