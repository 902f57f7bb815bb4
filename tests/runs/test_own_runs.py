"""Our own runs, written by our own callbacks through Lightning's loggers, come back as they were logged."""

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import Histogram, Image, MemoryLogger, Text, default_callbacks, log
from puffer_callbacks.runs import read_run
from tests.support.reading import tensorboard_scalars


class Model(pl.LightningModule):
    """Two parameters, a loss that falls, and one value of each kind at every tenth step."""

    def __init__(self):
        super().__init__()
        self.save_hyperparameters({"lr": 0.1, "name": "model"})
        self.layer = torch.nn.Linear(3, 2)

    def training_step(self, batch, batch_idx):
        batch = torch.linspace(-1, 1 + self.global_step, 12).reshape(4, 3)
        if self.global_step % 10 == 0:
            log(self, {"frame": Image(np.full((2, 3, 3), self.global_step, np.uint8)), "mine": Histogram.of(batch)})
        loss = self.layer(batch).square().mean()
        return {"loss": loss, "entropy": loss.detach() * 2}

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-3)

    def train_dataloader(self):
        return range(20)


@pytest.fixture
def logged(tmp_path, quiet_trainer):
    memory = MemoryLogger()
    loggers = [TensorBoardLogger(tmp_path / "tb"), CSVLogger(tmp_path / "csv"), memory]
    quiet_trainer(
        logger=loggers, callbacks=default_callbacks(metrics=10, histograms=10, gradients=10), max_epochs=2
    ).fit(Model())
    return tmp_path, memory


@pytest.mark.parametrize("kind", ["tb", "csv"])
def test_scalars(logged, kind):
    folder, memory = logged
    run = read_run(folder / kind)
    assert run.source == "puffer_callbacks"
    assert run.hyperparameters["lr"] == 0.1
    for tag in ("train/loss", "train/entropy", "losses/entropy", "gradient_norm/total"):
        steps, values = run.series(tag)
        expected = memory.series(tag)
        assert steps.tolist() == [step for step, _ in expected]
        np.testing.assert_allclose(values, [value for _, value in expected], rtol=1e-6 if kind == "tb" else 0)
    assert run.canonical["losses/entropy"][1].tolist() == run.series("losses/entropy")[1].tolist()
    assert "time/optimizer_steps" in run.canonical


def test_scalars_are_those_of_tensorboard(logged):
    run = read_run(logged[0] / "tb")
    theirs = tensorboard_scalars(run.path)
    assert run.tags == sorted(theirs)
    for tag, points in theirs.items():
        steps, values = run.series(tag)
        assert list(zip(steps.tolist(), values.tolist(), strict=True)) == points


def test_histograms_and_pictures_are_those_that_were_logged(logged):
    folder, memory = logged
    run = read_run(folder / "tb")
    assert run.x_axis == "optimizer_steps"
    for tag in ("mine", "weights/layer.weight"):
        assert len(run.histograms[tag]) == len(memory.series(tag))
        for (step, histogram), (expected_step, expected) in zip(run.histograms[tag], memory.series(tag), strict=True):
            assert step == expected_step
            np.testing.assert_array_equal(histogram.counts, expected.counts)
            np.testing.assert_array_equal(histogram.edges, expected.edges)
            assert (histogram.sum, histogram.sum_squares) == (expected.sum, expected.sum_squares)
    for kind in ("tb", "csv"):
        assert [image.pixels[0, 0, 0] for _, image in read_run(folder / kind).images["frame"]] == [0, 10, 20, 30]


@pytest.mark.parametrize("kind", ["tb", "csv"])
def test_texts_are_those_that_were_logged(tmp_path, quiet_trainer, kind):
    text = "a < b, [127.0.0.1]:40850, [a](b) & <i>x</i>"

    class Writes(Model):
        def on_train_start(self):
            log(self, {"note": Text(text)})

    logger = {"tb": TensorBoardLogger, "csv": CSVLogger}[kind](tmp_path)
    quiet_trainer(logger=logger, callbacks=default_callbacks()).fit(Writes())
    assert [found for _, found in read_run(tmp_path).text["note"]] == [text]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_resumed_run_has_no_duplicates(tmp_path, quiet_trainer):
    """The first session trains twenty steps beyond the checkpoint from which the second resumes."""

    def fit(**options):
        keep = ModelCheckpoint(tmp_path / "kept", filename="{step}", save_top_k=-1)
        callbacks = [*default_callbacks(metrics=5, histograms=5, gradients=5), keep]
        logger = TensorBoardLogger(tmp_path, name="", version="run")
        quiet_trainer(logger=logger, callbacks=callbacks, enable_checkpointing=True, max_epochs=2).fit(
            Model(), **options
        )

    fit()
    fit(ckpt_path=tmp_path / "kept" / "step=20.ckpt")
    run = read_run(tmp_path / "run")
    assert len(list((tmp_path / "run").glob("events*"))) == 2
    assert run.problems == []
    assert run.series("train/loss")[0].tolist() == [5, 10, 15, 20, 25, 30, 35, 40]
    for tag in run.tags:
        assert (np.diff(run.series(tag)[0]) > 0).all(), tag
    for tag, points in run.histograms.items():
        assert (np.diff([step for step, _ in points]) > 0).all(), tag
