"""A run whose every record is a function of its step, with a checkpoint after each."""

import csv
import math

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import (
    HistogramCallback,
    HyperparametersCallback,
    MetricsCallback,
    Recorder,
    RolloutCallback,
    emit,
    log,
)
from tests.support.models import random_rollout
from tests.support.reading import accumulator
from tests.support.warned import warned

STEPS = 22
TIMED = {"time/elapsed", "throughput/sps", "logging/overhead_pct"}
"""No two runs have the same values of these: their points are compared."""


class Counted(pl.LightningModule):
    """Everything it logs is a function of the training step; each fourth step begins with a rollout."""

    def __init__(self, ends_after=math.inf):
        super().__init__()
        self.save_hyperparameters({"gamma": 0.99})
        self.layer = torch.nn.Linear(2, 2)
        self.env_steps = 0
        self.ends_after = ends_after

    def training_step(self, batch, batch_idx):
        at = self.trainer.global_step
        if at >= self.ends_after:
            raise KeyboardInterrupt
        if at % 4 == 0:
            rollout = random_rollout(at, self.env_steps)
            self.env_steps = rollout.env_steps
            emit(self, "on_rollout_end", rollout)
        if at % 5 == 0:
            log(self, {"own/fifth": float(at)})
        self.log("lightning/own", float(at))
        return {"loss": sum(p.sum() for p in self.parameters()) * 0.0 + at, "odd": math.nan if at % 3 else at}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(range(11))

    def on_save_checkpoint(self, checkpoint):
        checkpoint["env_steps"] = self.env_steps

    def on_load_checkpoint(self, checkpoint):
        self.env_steps = checkpoint["env_steps"]


def fit(folder, *loggers, ends_after=math.inf, x_axis="auto", resume=None):
    torch.manual_seed(0)
    recorder = Recorder(x_axis, overhead_budget=1.0)
    keep = ModelCheckpoint(folder / "checkpoints", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    intervals = [MetricsCallback(3), HistogramCallback(5)]
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=list(loggers),
        callbacks=[recorder, *intervals, RolloutCallback(), HyperparametersCallback(), keep],
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    checkpoint = None if resume is None else folder / "checkpoints" / f"step={resume}.ckpt"
    ends = pytest.raises(SystemExit) if ends_after < STEPS else warned()
    with ends:
        trainer.fit(Counted(ends_after), ckpt_path=checkpoint)
    return trainer


def tensorboard(folder):
    return TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False)


def table(folder):
    return CSVLogger(folder, name="", version="csv")


def tensorboard_series(folder):
    found = accumulator(folder / "tensorboard")
    scalars = {tag: [(e.step, _number(e.value)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}
    histograms = {
        tag: [(e.step, list(e.histogram_value.bucket)) for e in found.Histograms(tag)]
        for tag in found.Tags()["histograms"]
    }
    timed = {tag: [(step, None) for step, _ in scalars[tag]] for tag in TIMED & scalars.keys()}
    return scalars | histograms | timed


def csv_series(folder):
    series = {}
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file, strict=True):
            for tag, cell in row.items():
                if cell and tag not in ("step", "run/ended_by"):
                    value = None if tag in TIMED else _number(float(cell))
                    series.setdefault(tag, []).append((int(row["step"]), value))
    return series


def elapsed(folder):
    """The seconds of training that each row of the table gives."""
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        return [float(row["time/elapsed"]) for row in csv.DictReader(file, strict=True) if row["time/elapsed"]]


def _number(value):
    return "nan" if math.isnan(value) else value
