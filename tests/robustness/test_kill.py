"""Runs that end in the middle: killed, told to end, or by an exception."""

import html
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import MemoryLogger, MetricsCallback, default_callbacks
from tests.robustness import records
from tests.robustness.lives import Child, live
from tests.support.models import Agent, losses
from tests.support.reading import accumulator

ROOT = Path(__file__).parents[2]
forks = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def kills(*arguments):
    """The documented command, in a process of its own; its last line."""
    command = [sys.executable, "-m", "tests.robustness.kills", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_dozen_kills_leave_no_gap_and_no_duplicate():
    found = kills("--kills", "12", "--kills-a-run", "6", "--wandb-every", "2", "--wandb-kills", "3")
    assert found["kills"] == 12
    assert found["failed"] == 0
    assert found["resumed"] > 6


class Leaves(pl.Callback):
    """Sends its process a signal in the fourth rollout, and writes down how far the run came as it ends.

    From outside it may arrive while a file object is destroyed, as Lightning's at a checkpoint: Python drops it there.
    """

    def __init__(self, number, path):
        self.number, self.path = number, path

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (3, 1):
            os.kill(os.getpid(), self.number)

    def on_exception(self, trainer, pl_module, exception):
        self.path.write_text(str(trainer.global_step))


@forks
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERMException"), (signal.SIGINT, "KeyboardInterrupt")]
)
def test_a_signal_flushes_everything_and_is_the_reason(tmp_path, number, name):
    leaves = Leaves(number, tmp_path / "end")
    backends = ("tensorboard", "csv")
    child = Child(
        lambda began: live(began, tmp_path, rollouts=100_000, backends=backends, callbacks=[leaves]),
        tmp_path / "log",
    )
    child.wait()
    end = int(leaves.path.read_text())
    for backend in backends:
        series = records.read(backend, tmp_path)
        assert series["time/env_steps"] == records.expected(len(series["time/env_steps"]))["time/env_steps"]
        assert series["train/loss"][-1] == series["time/env_steps"][-1]  # the interval that was cut short
    found = accumulator(tmp_path / "tensorboard")
    assert found.Scalars("time/optimizer_steps")[-1].value == end
    assert found.Tensors("run/ended_by/text_summary")[0].tensor_proto.string_val[0].decode() == name
    assert name in (tmp_path / "csv" / "metrics.csv").read_text()


class Ends(Agent):
    """Ends with this exception at the tenth batch."""

    def __init__(self, error):
        super().__init__(losses(*range(20)))
        self.error = error

    def training_step(self, batch, batch_idx):
        if self.step == 9:
            raise self.error
        return super().training_step(batch, batch_idx)


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("not even its name")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (FloatingPointError("diverged"), "FloatingPointError: diverged"),
        (ConnectionError("https://me:hush@host/x refused"), "ConnectionError: https://<redacted>@host/x refused"),
        (Unspeakable(), "Unspeakable"),
        (ValueError("x" * 100_000), "ValueError: " + "x" * 2000),
    ],
)
def test_an_exception_flushes_everything_and_is_the_reason(quiet_trainer, tmp_path, error, reason):
    memory = MemoryLogger()
    backends = [TensorBoardLogger(tmp_path, name="", version="tb"), CSVLogger(tmp_path, name="", version="csv")]
    with pytest.raises(type(error)):
        quiet_trainer(logger=[*backends, memory], callbacks=default_callbacks(metrics=4)).fit(Ends(error))
    assert memory.series("run/ended_by")[0][1].text == reason
    assert memory.series("time/optimizer_steps")[-1][1] == 9
    found = accumulator(tmp_path / "tb")
    assert found.Scalars("time/optimizer_steps")[-1].value == 9
    assert [event.step for event in found.Scalars("train/loss")] == [16, 32, 48]
    words = found.Tensors("run/ended_by/text_summary")[0].tensor_proto.string_val[0].decode()
    assert html.unescape(words) == reason
    assert reason in (tmp_path / "csv" / "metrics.csv").read_text()


def test_an_exception_of_another_callback_s_farewell_loses_nothing(pytester, tmp_path):
    script = pytester.makepyfile(
        f"""
        import lightning.pytorch as pl
        from lightning.pytorch.loggers import TensorBoardLogger
        from puffer_callbacks import MetricsCallback
        from tests.robustness.test_kill import Ends

        class Rude(pl.Callback):
            def on_exception(self, trainer, pl_module, exception):
                raise SystemExit(3)

        pl.Trainer(
            accelerator="cpu", max_epochs=1, callbacks=[Rude(), MetricsCallback(4)], enable_progress_bar=False,
            enable_checkpointing=False, logger=TensorBoardLogger({str(tmp_path)!r}, name="", version=""),
        ).fit(Ends(ZeroDivisionError()))
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, check=False)
    assert done.returncode == 3, done.stderr
    assert [event.step for event in accumulator(tmp_path).Scalars("train/loss")] == [16, 32]


class Idles(pl.Callback):
    """Stops in the middle of the run, as a long evaluation might."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if pl_module.step == 9:
            signal.pause()


@forks
def test_what_was_written_is_flushed_though_nothing_follows(tmp_path):
    def body(began):
        loggers = [TensorBoardLogger(tmp_path, name="", version="tb"), CSVLogger(tmp_path, name="", version="csv")]
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            logger=loggers,
            callbacks=[Idles(), MetricsCallback(4)],
            enable_progress_bar=False,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
        )
        trainer.fit(Agent(losses(*range(20))))

    child = Child(body, tmp_path / "log")

    def there():
        files = [*tmp_path.glob("tb/events*"), *tmp_path.glob("csv/metrics.csv")]
        if len(files) < 2 or not all(path.stat().st_size for path in files):
            return False
        found = accumulator(tmp_path / "tb")
        if len(files[-1].read_text().splitlines()) < 3:  # each backend has a thread of its own
            return False
        return "train/loss" in found.Tags()["scalars"] and len(found.Scalars("train/loss")) == 2

    while not there():  # for FLUSH_SECONDS at most
        assert os.waitpid(child.pid, os.WNOHANG) == (0, 0), (tmp_path / "log").read_text()
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert [event.step for event in accumulator(tmp_path / "tb").Scalars("train/loss")] == [16, 32]
    assert len((tmp_path / "csv" / "metrics.csv").read_text().splitlines()) == 3


def test_a_torn_file_is_read_up_to_the_tear(quiet_trainer, tmp_path):
    backends = [TensorBoardLogger(tmp_path, name="", version="tb"), CSVLogger(tmp_path, name="", version="csv")]
    quiet_trainer(logger=backends, callbacks=[MetricsCallback(4)]).fit(Agent(losses(*range(12))))
    for path in (*tmp_path.glob("tb/events*"), tmp_path / "csv" / "metrics.csv"):
        os.truncate(path, path.stat().st_size - 7)
    assert [event.step for event in accumulator(tmp_path / "tb").Scalars("train/loss")] == [16, 32]
    assert torch.tensor(records.csv_table(tmp_path)["train/loss"]).tolist() == [16, 32, 48]
