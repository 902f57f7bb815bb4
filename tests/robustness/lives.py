"""One life of a small PPO run on CartPole, in a process that may be killed; the next life resumes it."""

import logging
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from puffer_callbacks import (
    HistogramCallback,
    HyperparametersCallback,
    MetricsCallback,
    Recorder,
    RolloutCallback,
)
from puffer_callbacks.ppo import PPO

BACKENDS = ("tensorboard", "csv", "wandb")
NUM_ENVS, NUM_STEPS, BATCH, PASSES = 4, 32, 64, 2
STEPS_PER_ROLLOUT = NUM_ENVS * NUM_STEPS
UPDATES_PER_ROLLOUT = PASSES * STEPS_PER_ROLLOUT // BATCH
METRICS_EVERY, HISTOGRAMS_EVERY = 10, 30
"""In optimizer steps: neither divides the 4 updates of a rollout, so intervals end inside of rollouts."""
WANDB_ID = "lives"


class Began(pl.Callback):
    """Says so when the training begins."""

    def __init__(self, say: Callable[[], object]) -> None:
        self._say = say

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._say()


def live(
    began: Callable[[], object],
    folder: Path,
    *,
    rollouts: int,
    backends: Sequence[str],
    checkpoint_every: int = 3,
    callbacks: Sequence[pl.Callback] = (),
) -> None:
    """Train from the last checkpoint in ``folder``, if there is one, until ``rollouts`` are done."""
    module = PPO(
        "CartPole",
        total_timesteps=rollouts * STEPS_PER_ROLLOUT,
        num_envs=NUM_ENVS,
        num_steps=NUM_STEPS,
        batch_size=BATCH,
        update_epochs=PASSES,
        hidden_sizes=[8],
    )
    keep = ModelCheckpoint(
        folder / "checkpoints",
        filename="last",
        every_n_epochs=checkpoint_every,
        enable_version_counter=False,
    )
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=[_LOGGERS[name](folder) for name in backends],
        callbacks=[Began(began), *callbacks, *recorders(), keep],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    last = folder / "checkpoints" / "last.ckpt"
    trainer.fit(module, ckpt_path=last if last.exists() else None)
    if "wandb" in backends:
        import wandb as api

        api.teardown()  # as W&B does at the exit of a script; `finish` alone does not wait for its process


def warm_up() -> None:
    """Import what a first run imports, so that forked ones need not."""
    import wandb.proto.wandb_internal_pb2  # noqa: F401  # slow to import

    quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        live(lambda: None, Path(folder), rollouts=2, backends=("tensorboard", "csv"))


def recorders() -> list[pl.Callback]:
    """The callbacks of every life; no budget may widen an interval, as the steps have to be known."""
    return [
        Recorder(overhead_budget=1.0),
        MetricsCallback(every_n_steps=METRICS_EVERY),
        RolloutCallback(),
        HistogramCallback(every_n_steps=HISTOGRAMS_EVERY),
        HyperparametersCallback(),
    ]


def tensorboard(folder: Path) -> Logger:
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def csv(folder: Path) -> Logger:
    return CSVLogger(folder, name="", version="csv")


def wandb(folder: Path) -> Logger:
    import wandb as api  # slow to import, and few lives need it

    settings = api.Settings(silent=True, console="off", x_disable_stats=True, x_disable_meta=True)
    return WandbLogger(save_dir=str(folder), id=WANDB_ID, offline=True, settings=settings)


_LOGGERS: dict[str, Callable[[Path], Logger]] = {"tensorboard": tensorboard, "csv": csv, "wandb": wandb}


def quiet() -> None:
    """Third parties' remarks are not what a life is about."""
    os.environ["WANDB_SILENT"] = "true"
    os.environ.pop("WANDB_SERVICE", None)  # a parent's outlives a life, and knows its run as one in use
    for name in ("lightning.pytorch", "tensorboard"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")


class Child:
    """A function in a forked process, a session of its own; the parent has imported everything already.

    Args:
        body: what it does; it is given a function to call when it begins to be interesting.
        log: where it prints.
    """

    def __init__(self, body: Callable[[Callable[[], object]], object], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(1)  # a pool of threads would not survive the fork
        sys.stdout.flush()
        self._begun, begun = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(partial(body, partial(os.write, begun, b".")), log)
        os.close(begun)

    def wait_until_begun(self) -> bool:
        """Whether it has begun, rather than ended."""
        return os.read(self._begun, 1) == b"."

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit status; below 0 the signal that ended it."""
        os.close(self._begun)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _run(self, body: Callable[[], object], log: Path) -> None:
        status = 1
        try:
            os.setsid()
            signal.signal(signal.SIGINT, signal.default_int_handler)
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            quiet()
            body()
            status = 0
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 0
        except BaseException:
            logging.exception("a life ended")
        finally:
            os._exit(status)
