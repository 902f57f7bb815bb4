"""A resume that fails to load its checkpoint loses nothing of the run before."""

import pytest
import torch
import wandb
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from puffer_callbacks import default_callbacks
from tests.support.models import Supervised, losses
from tests.support.reading import tensorboard_scalars, wandb_rows


class Wider(Supervised):
    """A module that the checkpoint does not fit."""

    def __init__(self, script):
        super().__init__(script)
        self.layer = torch.nn.Linear(3, 5)


@pytest.fixture(autouse=True)
def _finish():
    yield
    wandb.finish()


def loggers(folder, run):
    files = [TensorBoardLogger(folder, name="tb", version=0), CSVLogger(folder, name="csv", version=0)]
    return [*files, WandbLogger(save_dir=folder / run, offline=True, project="resume")]


@pytest.mark.filterwarnings("ignore:Experiment logs directory")  # Lightning's; nothing is deleted
@pytest.mark.parametrize("saved_at", [4, 8])
def test_the_rows_of_the_run_before_stay(quiet_trainer, tmp_path, monkeypatch, saved_at):
    monkeypatch.setenv("WANDB_SILENT", "true")
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    first = quiet_trainer(logger=loggers(tmp_path, "first"), callbacks=default_callbacks(metrics=2))
    module = Saves(losses(*range(8)), at=saved_at, path=tmp_path / "last.ckpt")
    first.fit(module)
    wandb.finish()
    before = (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
    second = quiet_trainer(logger=loggers(tmp_path, "second"), callbacks=default_callbacks(metrics=2))
    with pytest.raises(RuntimeError, match=r"size mismatch for layer\.weight"):
        second.fit(Wider(losses(*range(8))), ckpt_path=tmp_path / "last.ckpt", weights_only=False)
    points = [(2, 0.5), (4, 2.5), (6, 4.5), (8, 6.5)]
    assert tensorboard_scalars(tmp_path / "tb" / "version_0")["train/loss"] == points
    assert (tmp_path / "csv" / "version_0" / "metrics.csv").read_text() == before
    first_rows = [row for row in wandb_rows(tmp_path / "first") if "train/loss" in row]
    assert [row["train/loss"] for row in first_rows] == [value for _, value in points]


class Saves(Supervised):
    """Saves a checkpoint after a number of steps."""

    def __init__(self, script, *, at, path):
        super().__init__(script)
        self.at, self.path = at, path

    def on_train_batch_end(self, outputs, batch, batch_idx):
        if batch_idx + 1 == self.at:
            self.trainer.save_checkpoint(self.path)
