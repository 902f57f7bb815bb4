"""What lies behind a backend breaks: its folder is removed, its disk is full, its process dies."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from tensorboard.compat.tensorflow_stub.io import gfile

from puffer_callbacks import MemoryLogger
from puffer_callbacks.backends.async_writer import AsyncWriter
from tests.robustness import records
from tests.robustness.checks import check, rows, the_two
from tests.robustness.small import ROLLOUTS, STEPS, record, train
from tests.support.reading import tensorboard_scalars
from tests.support.warned import warned


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's own thread
@pytest.mark.parametrize("moment", [1, 3, ROLLOUTS])
def test_the_log_directory_removed_under_the_run(healthy, tmp_path, moment):
    loggers = [
        TensorBoardLogger(tmp_path / "gone", name="", version="tb"),
        CSVLogger(tmp_path / "gone", name="", version="csv"),
    ]

    def remove(rollout, trainer):
        if rollout == moment:
            trainer.save_checkpoint(tmp_path / "waits-for-the-writers.ckpt")
            shutil.rmtree(tmp_path / "gone")

    beside = MemoryLogger()
    with warned() as reported:
        weights = train([*loggers, beside], tmp_path, action=remove)
    assert torch.equal(weights, healthy[0])
    assert record(beside) == healthy[1]
    the_two(reported, "TensorBoardLogger")
    # what came after is there, and can be read
    left = STEPS[moment - 1 :]  # a row is written when the next rollout begins
    assert [step for step, _ in tensorboard_scalars(tmp_path / "gone" / "tb")["train/loss"]][-len(left) :] == left
    assert rows(tmp_path / "gone" / "csv")[-len(left) :] == left


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

    reported = check(healthy, tmp_path, kind(tiny.folder, name="", version=""), action=act)
    reason, in_all = the_two(reported, "CSVLogger #1" if backend == "csv" else "TensorBoardLogger")  # there is another
    assert "No space left on device" in reason
    assert ("could not be recorded whole" in in_all) != comes_back
    if backend == "csv":
        found = rows(tiny.folder)
    else:
        found = [step for step, _ in tensorboard_scalars(tiny.folder)["time/env_steps"]]
    assert found == sorted(set(found))
    assert set(STEPS[:2]) <= set(found)
    assert (found == STEPS) == comes_back  # what waited for room is written in its place


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's own thread
@pytest.mark.parametrize("can_truncate", [True, False])
def test_a_write_that_fails_half_way_hides_no_row_behind_it(healthy, tmp_path, monkeypatch, can_truncate):
    write, truncate, calls = gfile.GFile.write, os.truncate, []

    def torn(self, data):
        calls.append(data)
        if len(calls) % 4 or (len(calls) > 4 and not can_truncate):
            return write(self, data)
        write(self, data[: len(data) // 2])
        raise OSError(5, "Input/output error")

    def refused(path, size):
        if os.fsdecode(path).startswith(str(tmp_path / "tb")):
            raise OSError(5, "Input/output error")
        truncate(path, size)

    monkeypatch.setattr(gfile.GFile, "write", torn)
    if not can_truncate:
        monkeypatch.setattr(os, "truncate", refused)
    reported = check(healthy, tmp_path, TensorBoardLogger(tmp_path / "tb", name="", version=""))
    reason, in_all = the_two(reported, "TensorBoardLogger")
    assert "Input/output error" in reason
    assert in_all.endswith("rows of this run were recorded all the same")
    assert [step for step, _ in tensorboard_scalars(tmp_path / "tb")["time/env_steps"]] == STEPS


@pytest.mark.parametrize("is_users_own", [False, True])
def test_wandb_s_process_killed(healthy, tmp_path, monkeypatch, is_users_own):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setattr(AsyncWriter, "close_timeout", 60.0)  # another process has to start
    if is_users_own:  # begun by ``wandb.init``, of which the logger knows nothing
        run = wandb.init(dir=tmp_path, mode="offline", id="killed", project="own", name="first", tags=["try"])
        logger = WandbLogger(experiment=run)
    else:
        logger = WandbLogger(save_dir=str(tmp_path), offline=True, id="killed", project="own", name="first")

    def kill(rollout, trainer):
        if rollout == 3:
            trainer.save_checkpoint(tmp_path / "waits-for-the-writers.ckpt")
            found = subprocess.run(
                ["pgrep", "-f", f"wandb-core .*--pid {os.getpid()}"], capture_output=True, check=True
            )
            for pid in found.stdout.split():
                os.kill(int(pid), signal.SIGKILL)

    reported = check(healthy, tmp_path, logger, action=kill)
    place = logger.experiment.project, logger.experiment.name, logger.experiment.tags
    wandb.finish()
    wandb.teardown()  # which waits for the file to be written
    _, in_all = the_two(reported, "WandbLogger")
    assert in_all.endswith("rows of this run were recorded all the same")
    assert records.wandb(tmp_path)["time/env_steps"] == STEPS
    assert place == ("own", "first", ("try",) if is_users_own else ())
