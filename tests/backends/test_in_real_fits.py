"""Loggers of every kind in real fits: what users see of them is as without us."""

import copy
import csv
import pickle
import shutil
import sqlite3
import threading
from pathlib import Path
from unittest.mock import Mock

import lightning.pytorch as pl
import pytest
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.tuner import Tuner

from puffer_callbacks import MemoryLogger, MetricsCallback, Recorder, Writer, default_callbacks, writer_for
from tests.support.models import Agent, Supervised, losses
from tests.support.reading import tensorboard_scalars, wandb_rows
from tests.support.warned import warned


class Logs(Supervised):
    """Logs a metric of its own in Lightning's way."""

    def training_step(self, batch, batch_idx):
        self.log("own", float(batch_idx))
        return super().training_step(batch, batch_idx)


class GivesRows(Supervised):
    """Gives each logger a row of its own, in the way in which Lightning does."""

    def training_step(self, batch, batch_idx):
        metrics = {"own": float(batch_idx)}
        for logger in self.loggers:
            logger.log_metrics(metrics=metrics, step=batch_idx)
        return super().training_step(batch, batch_idx)


def gives_rows():
    return GivesRows(losses(*map(float, range(4))))


class Mine(Logger):
    """A logger of the user's own."""

    def __init__(self, name="mine"):
        super().__init__()
        self._name, self.rows = name, []

    @property
    def name(self):
        return self._name

    @property
    def version(self):
        return 0

    def log_metrics(self, metrics, step=None):
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, params, *_, **__): ...


class Broken(Mine):
    def log_metrics(self, metrics, step=None):
        raise OSError(28, f"No space left for {self.name}")


def fit(quiet_trainer, logger, *, module=None, steps=4, **arguments):
    trainer = quiet_trainer(**{"logger": logger, "callbacks": [MetricsCallback(2)], **arguments})
    trainer.fit(module or Logs(losses(*map(float, range(steps)))))
    return trainer


def steps_in(folder, column):
    with (Path(folder) / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row.get(column)]


def own_rows(logger):
    return [metrics["own"] for _, metrics in logger.rows if "own" in metrics]


class TestALoggerOfTheUsersOwn:
    """It is called on the training thread, at once, and contained."""

    def test_a_connection_that_stays_on_its_thread(self, quiet_trainer, tmp_path):
        class Database(Mine):
            def __init__(self):
                super().__init__()
                self.connection = sqlite3.connect(tmp_path / "runs.db")
                self.connection.execute("create table metrics (step int, tag text, value real)")

            def log_metrics(self, metrics, step=None):
                rows = [(step, tag, float(value)) for tag, value in metrics.items()]
                self.connection.executemany("insert into metrics values (?, ?, ?)", rows)
                self.connection.commit()

        logger = Database()
        with warned() as reported:
            fit(quiet_trainer, logger, callbacks=default_callbacks(metrics=2, histograms=False), steps=6)
        assert reported == []
        count = "select count(*) from metrics where tag = ?"
        assert logger.connection.execute(count, ["own"]).fetchone() == (6,)
        assert logger.connection.execute(count, ["train/loss"]).fetchone() == (3,)
        logger.connection.close()

    def test_its_faults_end_nothing_and_lost_rows_are_counted_with_the_user_s(self, quiet_trainer):
        memory = MemoryLogger()
        with warned() as reported:
            trainer = fit(quiet_trainer, [Broken(), memory], module=gives_rows())
        assert trainer.global_step == 4
        reason, in_all = reported
        assert reason.startswith("Broken: could not record (OSError: [Errno 28] No space left for mine)")
        assert in_all == "Broken, in all: 6 of 6 rows of this run could not be recorded whole"  # 2 of ours, 4 own
        assert len(memory.series("own")) == 4

    def test_vectors_are_as_they_were_at_the_call(self, quiet_trainer):
        class Vectors(Supervised):
            def on_train_batch_end(self, *_):
                weight = self.layer.weight.detach()
                expected.append(weight.sum().item())
                self.logger.log_metrics({"weight": weight}, step=self.global_step)

        for kind in (Mine, Threaded):
            expected, logger = [], kind()
            fit(quiet_trainer, logger, module=Vectors(losses(*map(float, range(12)))))
            found = [metrics["weight"].sum().item() for _, metrics in logger.rows if "weight" in metrics]
            if kind is Threaded:
                assert found == expected
            assert len(found) == 12

    def test_finalize_is_waited_for_on_the_caller_s_thread(self, quiet_trainer):
        class Uploads(Mine):
            def finalize(self, status):
                self.rows.append((status, {"thread": threading.current_thread()}))

        for kind in (Uploads, type("ThreadedUploads", (Uploads, Threaded), {})):
            logger = kind()
            fit(quiet_trainer, logger, module=gives_rows())
            assert logger.rows[-1] == ("success", {"thread": threading.current_thread()})
            assert len(own_rows(logger)) == 4

    def test_two_of_one_class_are_both_reported_and_in_a_second_fit_again(self, quiet_trainer):
        loggers = [Broken("first"), Broken("second")]
        trainer = quiet_trainer(logger=loggers, callbacks=[MetricsCallback(2)])
        module = Supervised(losses(*map(float, range(8))))
        module.train_dataloader = lambda: range(4)
        for epochs in (1, 2):
            trainer.fit_loop.max_epochs = epochs
            with warned() as reported:
                trainer.fit(module)
            assert [warning.split(":")[0] for warning in reported] == [
                "Broken #1",
                "Broken #2",
                "Broken #1, in all",
                "Broken #2, in all",
            ]
            assert "No space left for second" in reported[1]

    def test_strict_raises_what_it_cannot_take(self, quiet_trainer):
        callbacks = [*default_callbacks(histograms=2), Recorder(strict=True)]
        with pytest.raises(ValueError, match="Mine takes scalars only: Histogram values such as"):
            fit(quiet_trainer, Mine(), callbacks=callbacks)


class Threaded(Mine):
    """One with a writer, and so with a thread."""


@writer_for.register(Threaded)
class ThreadedWriter(Writer):
    def write(self, values, axes):
        self.logger.rows.append((self.step(axes), values))


class TestWhatIsPutOnALoggerIsTakenOff:
    def test_a_mock(self, quiet_trainer, tmp_path):
        logger = Mock()
        logger.save_dir = tmp_path
        for fits in (1, 2):
            with warned():  # of the second run
                fit(quiet_trainer, logger)
            own = [call for call in logger.log_metrics.mock_calls if "own" in call.kwargs.get("metrics", {})]
            assert len(own) == 4 * fits
            assert logger.finalize.call_count == fits

    def test_a_patched_method(self, quiet_trainer, tmp_path):
        logger, steps = CSVLogger(tmp_path, name="", version=""), []
        method = logger.log_metrics
        logger.log_metrics = patched = lambda metrics, step=None: (steps.append(step), method(metrics, step))
        for _ in range(2):
            steps.clear()
            with warned():
                fit(quiet_trainer, logger)
            assert logger.log_metrics is patched
            assert steps == [0, 1, 2, 3]
        assert len(steps_in(tmp_path, "own")) == 8

    @pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger, MemoryLogger, Mine])
    def test_attributes_and_methods(self, quiet_trainer, tmp_path, kind):
        logger = kind(tmp_path) if kind in (CSVLogger, TensorBoardLogger) else kind()
        before = set(vars(logger))
        fit(quiet_trainer, logger)
        assert set(vars(logger)) == before

    def test_a_fit_that_fails(self, quiet_trainer, tmp_path):
        class Fails(Supervised):
            def training_step(self, batch, batch_idx):
                raise ZeroDivisionError

        logger = CSVLogger(tmp_path)
        with pytest.raises(ZeroDivisionError):
            fit(quiet_trainer, logger, module=Fails(losses(1.0)))
        assert "log_metrics" not in vars(logger)


class Copies(pl.Callback):
    """Copies the loggers while the fit runs."""

    def on_train_batch_end(self, trainer, *_):
        self.copies = [copied(logger) for logger in trainer.loggers for copied in (copy.deepcopy, pickled)]


def pickled(value):
    return pickle.loads(pickle.dumps(value))


class TestCopies:
    def test_before_in_and_after_a_fit(self, quiet_trainer, tmp_path):
        loggers = [CSVLogger(tmp_path, name="c", version=0), TensorBoardLogger(tmp_path, name="t", version=0)]
        copies = Copies()
        for logger in loggers:
            pickled(copy.deepcopy(logger))
        fit(quiet_trainer, loggers, callbacks=[MetricsCallback(2), copies])
        for logger in loggers:
            pickled(copy.deepcopy(logger))
        mid_fit = copies.copies[0]
        mid_fit.log_metrics({"late": 1.0}, step=99)
        assert steps_in(loggers[0].log_dir, "late") == [99]
        assert steps_in(loggers[0].log_dir, "train/loss") == [2, 4]
        assert [logger.log_dir for logger in copies.copies] == [loggers[0].log_dir] * 2 + [loggers[1].log_dir] * 2

    def test_in_a_spawned_process(self, quiet_trainer, tmp_path):
        loggers = [CSVLogger(tmp_path, name="c", version=0), TensorBoardLogger(tmp_path, name="t", version=0)]
        module = Supervised(losses(*map(float, range(4))))
        fit(quiet_trainer, loggers, module=module, strategy="ddp_spawn", devices=1)
        assert steps_in(loggers[0].log_dir, "train/loss") == [2, 4]
        assert tensorboard_scalars(loggers[1].log_dir)["train/loss"] == [(2, 0.5), (4, 2.5)]
        pickled(loggers)


def ours():
    return {thread for thread in threading.enumerate() if thread.name.startswith("puffer_callbacks")}


class TestThreadsAreJoined:
    def test_when_fit_returns_or_raises(self, quiet_trainer, tmp_path):
        class Fails(Supervised):
            def on_train_batch_end(self, *_):
                during.update(ours())
                if self.step == 4:
                    raise ZeroDivisionError

        before, during = ours(), set()
        with pytest.raises(ZeroDivisionError):
            fit(quiet_trainer, CSVLogger(tmp_path), module=Fails(losses(*map(float, range(8)))))
        assert [thread.name for thread in during - before] == ["puffer_callbacks CSVLogger"]
        assert ours() == before
        fit(quiet_trainer, CSVLogger(tmp_path))
        assert ours() == before

    @pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the finder's, of its own checkpoint
    def test_after_a_finder_that_fails(self, quiet_trainer, tmp_path):
        class Fails(Supervised):
            lr = 0.1

            def training_step(self, batch, batch_idx):
                if batch_idx == 3:
                    raise ZeroDivisionError
                return super().training_step(batch, batch_idx)

        before = ours()
        trainer = quiet_trainer(logger=CSVLogger(tmp_path), callbacks=[MetricsCallback(2)], max_epochs=2)
        with pytest.raises(ZeroDivisionError):
            Tuner(trainer).lr_find(Fails(losses(*[1.0] * 8)), num_training=6)
        assert ours() == before


class TestOnePlaceIsWrittenOnce:
    def test_one_logger_listed_twice(self, quiet_trainer, tmp_path):
        logger = TensorBoardLogger(tmp_path, name="", version="")
        with warned() as reported:
            fit(quiet_trainer, [logger, logger], module=gives_rows())
        assert reported == []
        scalars = tensorboard_scalars(tmp_path)
        assert scalars["train/loss"] == [(2, 0.5), (4, 2.5)]
        assert [step for step, _ in scalars["own"]] == [0, 1, 2, 3]

    def test_two_csv_loggers_of_one_folder(self, quiet_trainer, tmp_path):
        loggers = [CSVLogger(tmp_path, name="", version="") for _ in range(2)]
        with warned() as reported:
            fit(quiet_trainer, loggers, module=gives_rows())
        (warning,) = reported
        assert warning == "CSVLogger #2: writes to the same place as CSVLogger #1; each row is written once"
        assert steps_in(tmp_path, "train/loss") == [2, 4]
        assert steps_in(tmp_path, "own") == [0, 1, 2, 3]


class TestASecondRunOnOneLogger:
    def test_loses_nothing_and_is_warned_of_once(self, quiet_trainer, tmp_path):
        tensorboard = TensorBoardLogger(tmp_path, name="t", version=0)
        table, memory = CSVLogger(tmp_path, name="c", version=0), MemoryLogger()
        for run in (1, 2):
            with warned() as reported:
                fit(quiet_trainer, [tensorboard, table, memory])
            assert len(reported) == run - 1
        assert reported[0].startswith("TensorBoardLogger, CSVLogger, MemoryLogger: expected no rows after step 0")
        assert reported[0].endswith("give each run a logger, or a version, of its own")
        assert [step for step, _ in tensorboard_scalars(tensorboard.log_dir)["train/loss"]] == [2, 4, 2, 4]
        assert steps_in(table.log_dir, "train/loss") == [2, 4, 2, 4]
        assert [step for step, _ in memory.series("train/loss")] == [2, 4, 2, 4]

    def test_is_no_continuation_where_the_earlier_run_ended_lower(self, quiet_trainer, tmp_path):
        logger = TensorBoardLogger(tmp_path, name="", version="")
        fit(quiet_trainer, logger, steps=2)
        with warned() as reported:
            fit(quiet_trainer, logger, callbacks=[MetricsCallback(4)], steps=8)
        (warning,) = reported
        assert "expected no rows after step 0, where this run begins, got rows up to step 2" in warning
        assert [step for step, _ in tensorboard_scalars(tmp_path)["train/loss"]] == [2, 4, 8]
        assert not any(b"puffer_callbacks continues" in file.read_bytes() for file in tmp_path.glob("events*"))

    def test_on_another_logger_of_one_folder_is_warned_of(self, quiet_trainer, tmp_path):
        """Not once the folder is empty again."""
        for run, earlier in enumerate((0, 1, 0)):
            if run == 2:
                shutil.rmtree(tmp_path)
            with warned() as reported:
                fit(quiet_trainer, TensorBoardLogger(tmp_path, name="", version=""))
            assert len(reported) == earlier, run

    def test_goes_on_where_its_environment_steps_do(self, quiet_trainer, tmp_path):
        """A module that is trained on by another trainer."""
        logger = TensorBoardLogger(tmp_path, name="", version="")
        module = Agent(losses(*map(float, range(8))))
        with warned() as reported:
            for _ in range(2):
                module.step = 0
                quiet_trainer(logger=logger, callbacks=default_callbacks(metrics=4)).fit(module)
        assert reported == []
        assert [step for step, _ in tensorboard_scalars(tmp_path)["train/loss"]] == [16, 32, 48, 64]

    def test_a_second_fit_of_one_trainer_goes_on_without_a_warning(self, quiet_trainer, tmp_path):
        logger = TensorBoardLogger(tmp_path, name="", version="")
        trainer = quiet_trainer(logger=logger, callbacks=default_callbacks(metrics=2))
        module = Supervised(losses(*map(float, range(8))))
        module.train_dataloader = lambda: range(4)
        with warned() as reported:
            trainer.fit(module)
            trainer.fit_loop.max_epochs = 2
            trainer.fit(module)
        assert reported == []
        assert [step for step, _ in tensorboard_scalars(tmp_path)["train/loss"]] == [2, 4, 6, 8]


@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress", "ignore:You're resuming")
class TestWandbInOneProcess:
    @pytest.fixture(autouse=True)
    def _silent(self, monkeypatch):
        self.wandb = pytest.importorskip("wandb")
        monkeypatch.setenv("WANDB_SILENT", "true")
        yield
        self.wandb.finish()

    def rows(self, folder):
        self.wandb.finish()
        self.wandb.teardown()  # which waits for the file to be written
        return [int(row["time/optimizer_steps"]) for row in wandb_rows(folder) if "train/loss" in row]

    def test_a_resume_at_an_earlier_point_repeats_no_row(self, quiet_trainer, tmp_path):
        class Saves(pl.Callback):
            def on_train_batch_end(self, trainer, *_):
                if trainer.global_step == 4:
                    trainer.save_checkpoint(tmp_path / "4.ckpt")

        logger = WandbLogger(save_dir=str(tmp_path / "logs"), offline=True)
        callbacks = [MetricsCallback(2), Saves()]
        module = Supervised(losses(*map(float, range(8))))
        trainer = quiet_trainer(logger=logger, callbacks=callbacks)
        trainer.fit(module)
        module.step = 4
        trainer = quiet_trainer(logger=logger, callbacks=[MetricsCallback(2)])
        trainer.fit(module, ckpt_path=tmp_path / "4.ckpt", weights_only=False)
        assert self.rows(tmp_path / "logs") == [2, 4, 6, 8]

    def test_a_second_run_loses_nothing(self, quiet_trainer, tmp_path):
        logger = WandbLogger(save_dir=str(tmp_path), offline=True)
        for run in (1, 2):
            with warned() as reported:
                fit(quiet_trainer, logger)
            assert len(reported) == run - 1
        assert self.rows(tmp_path) == [2, 4, 2, 4]

    def test_a_second_run_on_another_logger_of_the_open_run_loses_nothing(self, quiet_trainer, tmp_path):
        for run in (1, 2):
            with warned() as reported:
                fit(quiet_trainer, WandbLogger(save_dir=str(tmp_path), offline=True))
            assert len(reported) == run - 1
        assert self.rows(tmp_path) == [2, 4, 2, 4]
