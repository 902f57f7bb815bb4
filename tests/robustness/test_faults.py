"""Faults × backends × moments: training is the same to the bit, other backends lose nothing, the user is told."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from puffer_callbacks import MemoryLogger, PufferCallback, channel
from tests.robustness import records
from tests.robustness.breaking import Fault, Plain, break_logger
from tests.robustness.small import ROLLOUTS, STEPS, record, train
from tests.support.reading import tensorboard_scalars
from tests.support.warned import warned

KINDS = ("always", "texts", "third", "blocks", "slow")
MOMENTS = ("start", "middle", "close")
QUICK = ("tensorboard", "csv", "plain")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """The final weights and the record of a run in which nothing breaks."""
    logger = MemoryLogger()
    return train([logger], tmp_path_factory.mktemp("healthy")), record(logger)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(channel, "PATIENCE", 0.3)
    monkeypatch.setattr(channel, "HURRY", 0.1)
    monkeypatch.setattr(Fault, "released", type(Fault.released)())
    yield
    Fault.released.set()


def check(healthy, folder, broken, **arguments):
    """Train with a broken logger between two healthy ones; returns what the user was told."""
    beside, behind = MemoryLogger(), CSVLogger(folder / "behind", name="", version="")
    with warned() as said:
        weights = train([beside, broken, behind], folder, **arguments)
    assert torch.equal(weights, healthy[0])
    kept = {tag: points for tag, points in record(beside).items() if tag not in ("own", "epoch")}
    assert kept == healthy[1]
    assert rows(folder / "behind") == STEPS
    return said


def rows(folder: Path) -> list[int]:
    """The steps of the rows with axes in a CSV file."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file, strict=True) if row.get("axes/env_steps")]


def the_two(said, name):
    """The one warning with the reason and the one with the sum, at the end."""
    first, last = (warning for warning in said if warning.startswith(name) and "takes scalars only" not in warning)
    assert first.startswith(f"{name}: could not record (")
    assert last.startswith(f"{name}, in all: ")
    return first, last


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", QUICK)
def test_a_broken_backend_harms_nothing_else(healthy, tmp_path, backend, kind, moment):
    broken = break_logger(backend, Fault(kind, moment), tmp_path)
    said = [warning for warning in check(healthy, tmp_path, broken) if "takes scalars only" not in warning]
    if kind == "slow" or (kind == "third" and moment == "close"):  # one call at the close is no third
        assert said == []
        return
    reason, in_all = the_two(said, type(broken).__name__)
    assert ("it did not get on" if kind == "blocks" else "OSError: [Errno 28] No space left on device") in reason
    lost = {"always": True, "texts": True, "third": False, "blocks": True}[kind] and moment != "close"
    assert ("could not be recorded whole" in in_all) == lost


@pytest.mark.parametrize("moment", ["start", "middle"])
def test_a_fault_of_a_logger_in_memory_harms_nothing_else(healthy, tmp_path, moment):
    broken = break_logger("memory", Fault("always", moment), tmp_path)
    the_two(check(healthy, tmp_path, broken), "BrokenMemoryLogger")


@pytest.mark.parametrize("kind", ["third", "slow"])
@pytest.mark.parametrize("backend", QUICK)
def test_what_fails_only_sometimes_loses_nothing(healthy, tmp_path, backend, kind):
    broken = break_logger(backend, Fault(kind, "start"), tmp_path)
    check(healthy, tmp_path, broken)
    if backend == "plain":
        assert [step for step, metrics in broken.rows if "axes/env_steps" in metrics] == STEPS
    elif backend == "csv":
        assert rows(tmp_path / "csv") == STEPS
    else:
        assert [step for step, _ in tensorboard_scalars(tmp_path / "tensorboard")["train/loss"]] == STEPS


@pytest.mark.parametrize("kind", ["always", "texts", "third"])
@pytest.mark.parametrize("backend", QUICK)
def test_strict_raises_the_reason(tmp_path, backend, kind):
    broken = break_logger(backend, Fault(kind, "start"), tmp_path)
    with pytest.raises(OSError, match="No space left on device"), warned():
        train([broken], tmp_path, strict=True)


@pytest.mark.parametrize("kind", ["always", "blocks"])
def test_a_checkpoint_does_not_wait_for_a_broken_backend_twice(healthy, tmp_path, monkeypatch, kind):
    waits = []
    hurried = channel.Worker.hurried

    def counted(self, done, seconds):
        before = done.is_set() or (self._overdue is not None and not self._overdue.is_set())
        waits.append(not before)
        return hurried(self, done, seconds)

    monkeypatch.setattr(channel.Worker, "hurried", counted)
    broken = break_logger("plain", Fault(kind, "start"), tmp_path)

    def save(rollout, trainer):
        trainer.save_checkpoint(tmp_path / f"{rollout}.ckpt")

    with warned():
        weights = train([broken], tmp_path, action=save)
    assert torch.equal(weights, healthy[0])
    assert len(list(tmp_path.glob("*.ckpt"))) == ROLLOUTS
    if kind == "blocks":
        assert sum(waits) <= 2  # once at a checkpoint, where it is found out


class Lightnings(Plain):
    """A logger that fails in whatever Lightning itself calls."""

    def _fail(self, *_, **__):
        raise OSError(5, "Input/output error")

    log_metrics = log_hyperparams = log_graph = save = finalize = after_save_checkpoint = _fail


class Logs(pl.Callback):
    """Logs in Lightning's own way."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        pl_module.log("own", 1.0, batch_size=1)


def test_what_lightning_calls_on_a_broken_logger_ends_nothing(healthy, tmp_path):
    said = check(healthy, tmp_path, Lightnings(), callbacks=[Logs()], enable_checkpointing=True)
    the_two(said, "Lightnings")


def test_its_methods_are_its_own_again_after_the_fit(tmp_path):
    logger = Plain()
    with warned():
        train([logger], tmp_path)
    assert "log_metrics" not in vars(logger)
    assert "finalize" not in vars(logger)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's own thread
def test_the_log_directory_removed_under_the_run(healthy, tmp_path):
    loggers = [
        TensorBoardLogger(tmp_path / "gone", name="", version="tb"),
        CSVLogger(tmp_path / "gone", name="", version="csv"),
    ]

    def remove(rollout, trainer):
        if rollout == 3:
            shutil.rmtree(tmp_path / "gone")

    beside = MemoryLogger()
    with warned() as said:
        weights = train([*loggers, beside], tmp_path, action=remove)
    assert torch.equal(weights, healthy[0])
    assert record(beside) == healthy[1]
    the_two(said, "TensorBoardLogger")
    # what came after is there, and can be read
    assert [step for step, _ in tensorboard_scalars(tmp_path / "gone" / "tb")["train/loss"]][-2:] == STEPS[-2:]
    assert rows(tmp_path / "gone" / "csv")[-2:] == STEPS[-2:]


class Tiny:
    """A file system of a few blocks, and what fills it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(folder)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            pytest.skip("mounting is not permitted here")

    def fill(self) -> None:
        filler = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT)
        try:
            while True:
                os.write(filler, bytes(100))
        except OSError:
            os.close(filler)

    def free(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def tiny(tmp_path):
    disk = Tiny(tmp_path / "disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk.folder)], check=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's own thread
@pytest.mark.parametrize("comes_back", [True, False])
@pytest.mark.parametrize("backend", ["tensorboard", "csv"])
def test_a_full_disk(healthy, tmp_path, tiny, backend, comes_back):
    kind = {"tensorboard": TensorBoardLogger, "csv": CSVLogger}[backend]

    def act(rollout, trainer):
        if rollout in (3, 5):
            trainer.save_checkpoint(tmp_path / "waits-for-the-writers.ckpt")
        if rollout == 3:
            tiny.fill()
        elif rollout == 5 and comes_back:
            tiny.free()

    said = check(healthy, tmp_path, kind(tiny.folder, name="", version=""), action=act)
    reason, in_all = the_two(said, kind.__name__)
    assert "No space left on device" in reason
    assert "could not be recorded whole" in in_all
    if backend == "csv":
        found = rows(tiny.folder)
    else:
        found = [step for step, _ in tensorboard_scalars(tiny.folder)["axes/env_steps"]]
    assert found == sorted(set(found))
    assert set(STEPS[:2]) <= set(found)
    assert (STEPS[-1] in found) == comes_back


def test_wandb_s_process_killed(healthy, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(channel, "PATIENCE", 60.0)  # another process has to start
    logger = WandbLogger(save_dir=str(tmp_path), offline=True, id="killed")

    def kill(rollout, trainer):
        if rollout == 3:
            trainer.save_checkpoint(tmp_path / "waits-for-the-writers.ckpt")
            found = subprocess.run(
                ["pgrep", "-f", f"wandb-core .*--pid {os.getpid()}"], capture_output=True, check=True
            )
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)

    said = check(healthy, tmp_path, logger, action=kill)
    wandb.finish()
    _, in_all = the_two(said, "WandbLogger")
    assert in_all.endswith("rows of this run were recorded all the same")
    assert records.wandb(tmp_path)["axes/env_steps"] == STEPS


def test_a_fault_of_a_user_s_callback_is_not_swallowed(tmp_path):
    class Mine(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        train([MemoryLogger()], tmp_path, callbacks=[Mine()])


def test_a_blocked_thread_does_not_keep_the_interpreter_from_its_end(pytester):
    script = pytester.makepyfile(
        """
        from threading import Event
        import warnings
        from puffer_callbacks import Axes, Writer, channel

        class Blocks(Writer):
            def write(self, values, axes):
                Event().wait()

        channel.PATIENCE = 0.1
        blocked = channel.Channel(Blocks(logger=None))
        blocked.write({"a": 1.0}, Axes(None, 1, 0.0))
        blocked.close(blocked.finish())
        print(blocked.lost, blocked.faults[-1])
        """
    )
    result = pytester.run(sys.executable, script, timeout=120)
    assert result.ret == 0
    assert result.outlines == ["1 it did not get on for 0 seconds"]
