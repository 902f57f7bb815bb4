"""A run that ends anywhere and goes on from any checkpoint leaves the record of one that never ended."""

import csv
import json
import math
import shutil
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from puffer_callbacks import (
    Axes,
    HistogramCallback,
    HyperparametersCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    RolloutCallback,
    Writer,
    channel,
    emit,
    log,
    writer_for,
)
from puffer_callbacks.writers.wandb_file import read_history
from tests.robustness.records import rises
from tests.support.models import random_rollout
from tests.support.reading import accumulator
from tests.support.warned import warned

STEPS = 22
TIMED = {"axes/wall_time", "throughput/sps", "logging/overhead_pct"}
ENDS = [(3, 3), (3, 8), (4, 4), (6, 15), (7, 21), (12, 13), (15, 15), (20, 22)]
"""Where the checkpoint is and where the run ends, in optimizer steps: at and within rollouts and intervals."""


class Counted(pl.LightningModule):
    """Everything it says is a function of the training step; each fourth step begins with a rollout."""

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
    return {tag: points for tag, points in (scalars | histograms).items() if tag not in TIMED}


def csv_series(folder):
    series = {}
    with (folder / "csv" / "metrics.csv").open(newline="") as file:
        for row in csv.DictReader(file, strict=True):
            for tag, cell in row.items():
                if cell and tag not in TIMED | {"step", "run/ended_by"}:
                    series.setdefault(tag, []).append((int(row["step"]), _number(float(cell))))
    return series


def _number(value):
    return "nan" if math.isnan(value) else value


@pytest.fixture(scope="module", params=["auto", "optimizer_steps"])
def whole(request, tmp_path_factory):
    """The axis, and the record of a run that never ended."""
    folder = tmp_path_factory.mktemp("whole")
    fit(folder, tensorboard(folder), table(folder), x_axis=request.param)
    return request.param, tensorboard_series(folder), csv_series(folder)


def without(series, *tags):
    return {tag: points for tag, points in series.items() if tag not in tags}


@pytest.mark.filterwarnings("ignore:Experiment logs directory", "ignore:.*mid-epoch")
@pytest.mark.parametrize(("checkpoint", "end"), ENDS)
def test_the_record_is_that_of_one_run(whole, tmp_path, checkpoint, end):
    x_axis, in_tensorboard, in_csv = whole
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis, ends_after=end)
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis, resume=checkpoint)
    assert csv_series(tmp_path) == in_csv
    # what Lightning's own self.log wrote stands on its own axis, which a session start cannot tell from ours
    own = ("lightning/own", "epoch") if x_axis == "auto" else ()
    assert without(tensorboard_series(tmp_path), *own) == without(in_tensorboard, *own)


@pytest.mark.filterwarnings("ignore:Experiment logs directory", "ignore:.*mid-epoch")
def test_a_run_may_end_again_and_again(whole, tmp_path):
    x_axis, _, in_csv = whole
    for resume, end in ((None, 5), (4, 9), (8, 9), (9, 9), (7, 16), (16, math.inf)):
        fit(tmp_path, table(tmp_path), x_axis=x_axis, resume=resume, ends_after=end)
    assert csv_series(tmp_path) == in_csv


@pytest.mark.filterwarnings("ignore:Experiment logs directory")
def test_a_run_that_begins_again_in_the_same_place_hides_the_one_before(tmp_path):
    for folder in (tmp_path / "once", tmp_path / "again"):
        fit(folder, tensorboard(folder), table(folder), ends_after=13 if folder.name == "again" else math.inf)
    again = tmp_path / "again"
    # as another process would: this one remembers where it began
    from puffer_callbacks.writers import tensorboard as module

    module._BEGUN.clear()
    fit(again, tensorboard(again), table(again))
    assert csv_series(again) == csv_series(tmp_path / "once")
    series = without(tensorboard_series(again), "lightning/own", "epoch")
    assert series == without(tensorboard_series(tmp_path / "once"), "lightning/own", "epoch")


@pytest.mark.filterwarnings("ignore:.*mid-epoch")
def test_wandb_goes_on_by_its_id(whole, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    x_axis, in_tensorboard, _ = whole

    def life(**arguments):
        fit(tmp_path, WandbLogger(save_dir=str(tmp_path), id="one", offline=True), x_axis=x_axis, **arguments)
        wandb.finish()

    life(ends_after=9)
    life(resume=7)
    axis = "axes/env_steps" if x_axis == "auto" else "axes/optimizer_steps"
    rows = [
        {tag: json.loads(value) for tag, value in row.items()}
        for path in sorted(tmp_path.glob("wandb/offline-run-*/run-one.wandb"))
        for row in read_history(path)
    ]
    for tag in ("own/fifth", "rollout/return_mean", "train/loss", axis):
        steps = [int(row[axis]) for row in rows if tag in row and axis in row]
        assert rises(steps), tag
    # a life that ended cut an interval short, so its row stays where the next life's has more behind it
    assert {int(row[axis]) for row in rows if axis in row} >= {step for step, _ in in_tensorboard[axis]}


@pytest.mark.filterwarnings("ignore:Experiment logs directory", "ignore:.*mid-epoch")
def test_a_logger_that_joins_later_has_what_comes_after(tmp_path):
    fit(tmp_path, table(tmp_path), ends_after=9)
    memory = MemoryLogger()
    fit(tmp_path, memory, table(tmp_path), tensorboard(tmp_path), resume=9)
    assert rises([step for step, _ in csv_series(tmp_path)["train/loss"]])
    later = [step for step, _ in memory.series("train/loss")]
    assert later == [step for step, _ in tensorboard_series(tmp_path)["train/loss"]]
    assert later == [step for step, _ in csv_series(tmp_path)["train/loss"]][-len(later) :]


@pytest.mark.filterwarnings("ignore:Experiment logs directory", "ignore:.*mid-epoch")
@pytest.mark.parametrize("state", [{}, {"counters": {}}, {"counters": {}, "journal": {"last_step": 3}}, {"x": 1}])
def test_a_checkpoint_of_another_version_ends_nothing(tmp_path, state):
    fit(tmp_path, table(tmp_path), ends_after=9)
    path = tmp_path / "checkpoints" / "step=8.ckpt"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["callbacks"]["Recorder"] = state
    torch.save(checkpoint, path)
    with warned() as said:
        trainer = fit(tmp_path, table(tmp_path), resume=8)
    assert trainer.global_step == STEPS
    assert len(said) <= 1


def test_a_checkpoint_is_plain_and_small(tmp_path):
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path))
    path = tmp_path / "checkpoints" / f"step={STEPS}.ckpt"
    state = torch.load(path, weights_only=True)["callbacks"]  # no class of ours has to be unpickled
    assert len(repr(state["Recorder"])) < 20_000


class Slow(MemoryLogger):
    """Does not take a row before it is told to."""


def test_rows_that_wait_for_a_backend_are_in_the_checkpoint(tmp_path, monkeypatch):
    from threading import Event

    monkeypatch.setattr(channel, "HURRY", 0.05)
    monkeypatch.setattr(channel, "PATIENCE", 0.2)
    blocked, written = Event(), []

    class Rewinds(Writer):
        def write(self, values, axes):
            if not blocked.wait(timeout=None):
                return
            written.append(self.step(axes))

        def resume(self, last_step):
            written[:] = [step for step in written if step <= last_step]

    writer_for.register(Slow, Rewinds)
    with warned():
        fit(tmp_path, Slow(), ends_after=9)
    assert written == []
    blocked.set()
    fit(tmp_path, Slow(), resume=8)
    expected = MemoryLogger()
    fit(tmp_path / "whole", expected)
    assert sorted(set(written)) == [step for step, _ in expected.series("axes/env_steps")]


def test_a_writer_s_state_is_handed_to_a_logger_of_the_same_kind(tmp_path):
    states = []

    class Kind(MemoryLogger):
        pass

    class Keeps(Writer):
        def write(self, values, axes: Axes): ...

        def resume(self, last_step): ...

        def state_dict(self):
            return {"kept": 1}

        def load_state_dict(self, state_dict):
            states.append(state_dict)

    writer_for.register(Kind, Keeps)
    fit(tmp_path, Kind(), ends_after=9)
    fit(tmp_path, MemoryLogger(), Kind(), resume=8)
    assert states == [{"kept": 1}]


def test_a_run_s_folder_can_be_moved(whole, tmp_path):
    x_axis, in_tensorboard, _ = whole
    fit(tmp_path / "here", tensorboard(tmp_path / "here"), x_axis=x_axis, ends_after=9)
    shutil.move(tmp_path / "here", tmp_path / "there")
    there = Path(tmp_path / "there")
    fit(there, tensorboard(there), x_axis=x_axis, resume=9)
    own = ("lightning/own", "epoch")
    assert without(tensorboard_series(there), *own) == without(in_tensorboard, *own)
