import csv

import fsspec
import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger
from PIL import Image as Pillow

from puffer_callbacks import (
    Axes,
    Histogram,
    Image,
    MetricsCallback,
    PufferCallback,
    Text,
    Video,
    default_callbacks,
    log,
    writer_for,
)
from puffer_callbacks.writers.csv.metrics_file import MetricsFile
from tests.support.models import Agent, Supervised, losses
from tests.support.warned import warned

pytorch_lightning = pytest.importorskip("pytorch_lightning")


@pytest.fixture
def logger(tmp_path):
    return CSVLogger(tmp_path, name="", version="")


def pixel(path):
    with Pillow.open(path) as picture:
        return picture.convert("RGB").getpixel((0, 0))


def read(folder):
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, restval=""))


def column(folder, tag):
    return [(int(row["step"]), float(row[tag])) for row in read(folder) if row[tag]]


class Says(PufferCallback):
    """Logs what it has for each step."""

    def __init__(self, *values):
        self.values = values

    def on_step(self, trainer, pl_module, metrics):
        if pl_module.step <= len(self.values):
            log(trainer, self.values[pl_module.step - 1])


def fit(quiet_trainer, logger, *callbacks, module=None, **arguments):
    module = module or Supervised(losses(*range(8)))
    quiet_trainer(logger=logger, callbacks=list(callbacks), **arguments).fit(module)


def test_a_row_is_one_line_with_every_axis(quiet_trainer, logger, tmp_path):
    fit(quiet_trainer, logger, *default_callbacks(metrics=4, histograms=8), module=Agent(losses(*range(16))))
    rows = read(tmp_path)
    assert [int(row["step"]) for row in rows] == [16, 32, 48, 64]
    for row in rows:
        assert float(row["time/env_steps"]) == float(row["step"])
        assert row["time/optimizer_steps"] and row["time/elapsed"] and row["logging/overhead_pct"]
    assert column(tmp_path, "train/loss") == [(16, 1.5), (32, 5.5), (48, 9.5), (64, 13.5)]


def test_numbers_are_written_in_full(quiet_trainer, logger, tmp_path):
    fit(
        quiet_trainer,
        logger,
        Says({"third": 1 / 3, "tiny": 1e-300, "nan": float("nan"), "inf": float("inf")}),
    )
    (row,) = read(tmp_path)
    assert float(row["third"]) == 1 / 3
    assert float(row["tiny"]) == 1e-300
    assert np.isnan(float(row["nan"]))
    assert float(row["inf"]) == np.inf


@pytest.mark.parametrize("of", [CSVLogger, pytorch_lightning.loggers.CSVLogger])
def test_rows_of_a_place_that_is_no_local_folder_are_there(quiet_trainer, tmp_path, monkeypatch, of):
    monkeypatch.chdir(tmp_path)
    folder = f"memory://{tmp_path.name}/runs"
    with warned() as reported:
        fit(quiet_trainer, of(folder, name="", version=""), *default_callbacks(metrics=4, histograms=4))
    with fsspec.open(f"{folder}/metrics.csv", "r", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(int(row["step"]), float(row["train/loss"])) for row in rows if row["train/loss"]] == [(4, 1.5), (8, 5.5)]
    assert len(reported) == 1  # of the histograms, which Lightning's own writer does not take
    assert "CSVLogger takes scalars only" in reported[0]
    assert list(tmp_path.rglob("*.csv")) == []


def test_a_folder_below_home_is_there(quiet_trainer, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fit(quiet_trainer, CSVLogger("~/runs", name="", version=""), MetricsCallback(4), default_root_dir=tmp_path)
    assert column(tmp_path / "home" / "runs", "train/loss") == [(4, 1.5), (8, 5.5)]
    assert list((tmp_path / "here").iterdir()) == []


def test_late_keys_lose_no_earlier_row(quiet_trainer, logger, tmp_path):
    logged = [{f"key{i}": float(i)} for i in range(6)]
    fit(quiet_trainer, logger, Says(*logged))
    for i in range(6):
        assert column(tmp_path, f"key{i}") == [(i + 1, float(i))]


def test_keys_and_words_that_a_csv_file_must_quote(quiet_trainer, logger, tmp_path):
    odd = {'a,"b"': 1.0, "new\nline": 2.0, "größe": 3.0, "words": Text('he said: "no,\nnever"')}
    fit(quiet_trainer, logger, Says(odd, {"late": 4.0}, {"later": 5.0}))
    first, second, third = read(tmp_path)
    assert float(first['a,"b"']) == 1.0
    assert float(next(value for key, value in first.items() if "line" in key)) == 2.0
    assert float(first["größe"]) == 3.0
    assert first["words"] == 'he said: "no,\nnever"'
    assert (second["late"], third["later"]) == ("4.0", "5.0")


def test_a_histogram_is_its_quantiles_and_counts(quiet_trainer, logger, tmp_path):
    values = torch.cat([torch.randn(1000), torch.tensor([float("nan")])])
    fit(quiet_trainer, logger, Says({"h": Histogram.of(values), "none": Histogram.of(torch.zeros(0))}))
    (row,) = read(tmp_path)
    assert (float(row["h/count"]), float(row["h/nonfinite"])) == (1000, 1)
    for percent in (5, 25, 50, 75, 95):
        expected = np.quantile(values[:-1].double().numpy(), percent / 100)
        assert float(row[f"h/p{percent}"]) == pytest.approx(expected, rel=0.13, abs=0.02)
    assert float(row["none/count"]) == 0


def test_pictures_are_files_and_their_path_is_logged(quiet_trainer, logger, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    fit(
        quiet_trainer,
        logger,
        Says({"a/picture": Image(pixels), "film": Video(np.stack([pixels, 255 - pixels, pixels]))}),
    )
    (row,) = read(tmp_path)
    with Pillow.open(tmp_path / row["a/picture"]) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)
    with Pillow.open(tmp_path / row["film"]) as film:
        assert (film.format, film.n_frames) == ("GIF", 3)


@pytest.mark.parametrize("tag", ["../../outside", "/outside", "..", "a/../../b", "x" * 5000])
def test_a_picture_s_tag_cannot_leave_the_folder(quiet_trainer, logger, tmp_path, tag):
    fit(quiet_trainer, logger, Says({tag: Image(np.zeros((2, 2, 3), np.uint8))}))
    (row,) = read(tmp_path)
    path = (tmp_path / row[tag]).resolve()
    assert path.is_file()
    assert path.is_relative_to(tmp_path.resolve() / "media")


def test_pictures_of_alike_tags_do_not_share_a_file(quiet_trainer, logger, tmp_path):
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    fit(quiet_trainer, logger, Says({"a/b": Image(black), "a_b": Image(white), "a b": Image(black)}))
    (row,) = read(tmp_path)
    assert [pixel(tmp_path / row[tag]) for tag in ("a/b", "a_b", "a b")] == [(0,) * 3, (255,) * 3, (0,) * 3]


def test_what_the_module_logs_itself_stands_in_the_same_file(quiet_trainer, logger, tmp_path):
    class Logs(Supervised):
        def training_step(self, batch, batch_idx):
            self.log("own", torch.tensor(float(batch_idx)))
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, logger, MetricsCallback(4), module=Logs(losses(*range(8))))
    assert column(tmp_path, "own") == [(4, 1.5), (8, 5.5)]
    assert column(tmp_path, "train/loss") == [(4, 1.5), (8, 5.5)]


def test_fit_twice_with_one_logger_appends(quiet_trainer, logger, tmp_path):
    trainer = quiet_trainer(logger=logger, callbacks=[MetricsCallback(4)])
    module = Supervised(losses(*range(16)))
    module.train_dataloader = lambda: range(8)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert column(tmp_path, "train/loss") == [(4, 1.5), (8, 5.5), (12, 9.5), (16, 13.5)]


def test_a_tag_of_the_name_of_the_step_leaves_the_step_alone_and_is_reported(quiet_trainer, logger, tmp_path):
    with warned() as reported:
        fit(quiet_trainer, logger, Says({"step": 77.0, "other": 1.0}, {"step": 78.0}))
    expected = "expected another tag than 'step', a name of its own; these values are left out"
    assert reported == [f"CSVLogger, step: {expected}"]
    assert column(tmp_path, "other") == [(1, 1.0)]


def test_a_header_that_a_crash_cut_short_is_written_anew(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,train/lo")
    file = MetricsFile(tmp_path)
    file.count_lines()
    assert file.lines == 0
    file.log_metrics({"train/lo": 0.5}, 10)
    file.count_lines()
    assert (tmp_path / "metrics.csv").read_text().splitlines() == ["step,train/lo", "10,0.5"]
    assert file.lines == 1


def test_a_resumed_run_keeps_its_history_without_gap_or_duplicate(quiet_trainer, tmp_path):
    def run(*, epochs, ckpt=None):
        logger = CSVLogger(tmp_path, name="", version="")
        trainer = quiet_trainer(logger=logger, callbacks=[MetricsCallback(4)], max_epochs=epochs)
        module = Supervised(losses(*range(40)))
        module.train_dataloader = lambda: range(10)
        module.step = 10 if ckpt else 0
        trainer.fit(module, ckpt_path=ckpt, weights_only=False if ckpt else None)
        return trainer

    run(epochs=1).save_checkpoint(tmp_path.parent / f"{tmp_path.name}.ckpt")
    with pytest.warns(UserWarning, match="exists and is not empty"):
        run(epochs=2, ckpt=tmp_path.parent / f"{tmp_path.name}.ckpt")
    assert [step for step, _ in column(tmp_path, "train/loss")] == [4, 8, 10, 12, 16, 20]


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
def test_a_file_that_lightning_s_writer_rewrote_is_cut_back_by_whole_rows(quiet_trainer, tmp_path):
    """It sorts the columns and ends lines in another way, so that no byte of the file is where it was."""

    def run(max_steps, **arguments):
        logger = CSVLogger(tmp_path, name="", version="")
        trainer = quiet_trainer(logger=logger, callbacks=[MetricsCallback(1)], max_steps=max_steps, max_epochs=2)
        module = Supervised(losses(*range(40)))
        module.train_dataloader = lambda: range(10)
        trainer.fit(module, **arguments)
        return trainer, logger

    trainer, logger = run(4)
    trainer.save_checkpoint(checkpoint := tmp_path.parent / f"{tmp_path.name}.ckpt")
    rows = read(tmp_path)
    logger.log_metrics({"a_test": 7.0}, 9)
    logger.finalize("success")
    assert (tmp_path / "metrics.csv").read_bytes().count(b"\r\n") == 6
    with pytest.warns(UserWarning, match="exists and is not empty"):
        run(6, ckpt_path=checkpoint, weights_only=False)
    kept = read(tmp_path)
    assert [{tag: cell for tag, cell in row.items() if cell} for row in kept[:4]] == rows
    assert [row["step"] for row in kept] == ["1", "2", "3", "4", "5", "6"]


@pytest.mark.parametrize("hparams", [{"layers": (64, 64)}, {"kind": torch.float32}, {"time": Axes(1, 2, 3.0)}])
def test_hyperparameters_that_lightning_logs_itself_end_nothing(quiet_trainer, logger, tmp_path, hparams):
    module = Supervised(losses(1.0, 2.0))
    module.save_hyperparameters({"gamma": 0.99, **hparams})
    fit(quiet_trainer, logger, MetricsCallback(2), module=module)
    assert module.step == 2
    assert "gamma: 0.99" in (tmp_path / "hparams.yaml").read_text()


def test_hyperparameters_of_numpy_s_types_are_numbers(logger, tmp_path):
    writer_for(logger)
    logger.log_hyperparams({"rate": np.float64(0.1), "size": np.int64(3), "half": np.float32(0.5)})
    assert yaml.safe_load((tmp_path / "hparams.yaml").read_text()) == {"rate": 0.1, "size": 3, "half": 0.5}


def test_a_logger_has_its_own_writer_again_after_the_fit_and_its_rows_follow_ours(quiet_trainer, logger, tmp_path):
    logger.experiment  # noqa: B018  # Lightning opens it before the callbacks' setup
    own = logger._experiment
    fit(quiet_trainer, logger, MetricsCallback(4))
    assert logger.experiment is own
    logger.log_hyperparams({"gamma": 0.9})
    logger.log_metrics({"test/reward": 7.0, "train/loss": 3.0}, 9)
    logger.finalize("success")
    assert column(tmp_path, "train/loss") == [(4, 1.5), (8, 5.5), (9, 3.0)]
    assert column(tmp_path, "test/reward") == [(9, 7.0)]
    with warned() as reported:  # of one logger for two runs
        fit(quiet_trainer, logger, MetricsCallback(4))
    assert len(reported) == 1 and logger.experiment is own
    assert [step for step, _ in column(tmp_path, "train/loss")] == [4, 8, 9, 4, 8]


def test_rows_of_lightning_s_writer_stand_below_their_columns_where_it_knows_them_all(quiet_trainer, logger, tmp_path):
    """It takes for granted that the header is sorted."""
    fit(quiet_trainer, logger, Says({"z": 1.0}, {"b": 2.0}), MetricsCallback(4))
    logger.log_metrics({"b": 3.0, "z": 4.0}, 9)
    logger.finalize("success")
    assert (column(tmp_path, "z"), column(tmp_path, "b")) == ([(1, 1.0), (9, 4.0)], [(2, 2.0), (9, 3.0)])


def test_two_loggers_of_one_folder_have_their_own_writers_again(quiet_trainer, tmp_path):
    loggers = [CSVLogger(tmp_path, name="", version="") for _ in range(2)]
    owns = [logger.experiment for logger in loggers]
    with warned():  # that each row is written once
        fit(quiet_trainer, loggers, MetricsCallback(4))
    assert [logger.experiment for logger in loggers] == owns
    assert column(tmp_path, "train/loss") == [(4, 1.5), (8, 5.5)]


def test_the_logger_of_a_fit_that_fails_has_its_own_writer_again(quiet_trainer, logger, tmp_path):
    own = logger.experiment
    with pytest.raises(IndexError):
        fit(quiet_trainer, logger, MetricsCallback(4), module=FailsAfter(losses(*range(6)), batches=8))
    assert logger.experiment is own
    assert column(tmp_path, "train/loss")[0] == (4, 1.5)


class FailsAfter(Supervised):
    """Its script is shorter than its epoch."""

    def __init__(self, script, *, batches):
        super().__init__(script)
        self.batches = batches

    def train_dataloader(self):
        return range(self.batches)
