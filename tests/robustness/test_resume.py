"""A run that ends anywhere and goes on from any checkpoint leaves the record of one that never ended."""

import json
import math
import os
import shutil
import sys
import time
from pathlib import Path
from threading import Event

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger

from puffer_callbacks import Axes, MemoryLogger, Writer, writer_for
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.writers.tensorboard import writer as tensorboard_writer
from puffer_callbacks.writers.wandb.run_file import read_history
from tests.robustness.counted import STEPS, csv_series, elapsed, fit, table, tensorboard, tensorboard_series
from tests.robustness.records import rises
from tests.support.tensorboard_server import served, served_scalars
from tests.support.warned import warned

pytestmark = pytest.mark.filterwarnings(  # of Lightning: a resumed run goes on in the place of the one before
    "ignore:Checkpoint directory",
    "ignore:Experiment logs directory",
    "ignore:You're resuming from a checkpoint that ended before the epoch ended",
    "ignore:The dirpath has changed",
)
ENDS = [(3, 3), (3, 8), (4, 4), (6, 15), (7, 21), (12, 13), (15, 15), (20, 22)]
"""Where the checkpoint is and where the run ends, in optimizer steps: at and within rollouts and intervals."""


@pytest.fixture(scope="module", params=["auto", "optimizer_steps"])
def whole(request, tmp_path_factory):
    """The axis, and the record of a run that never ended."""
    folder = tmp_path_factory.mktemp("whole")
    fit(folder, tensorboard(folder), table(folder), x_axis=request.param)
    return request.param, tensorboard_series(folder), csv_series(folder)


@pytest.mark.parametrize(("checkpoint", "end"), ENDS)
def test_the_record_is_that_of_one_run(whole, tmp_path, checkpoint, end):
    x_axis, in_tensorboard, in_csv = whole
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis, ends_after=end)
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis, resume=checkpoint)
    assert csv_series(tmp_path) == in_csv
    assert tensorboard_series(tmp_path) == in_tensorboard
    seconds = elapsed(tmp_path)
    assert seconds[0] >= 0
    assert rises(seconds)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--load_fast=false"]], ids=["data server", "slow loader"])
def test_tensorboard_s_own_servers_show_one_run(whole, tmp_path, options):
    x_axis, in_tensorboard, _ = whole
    fit(tmp_path, tensorboard(tmp_path), x_axis=x_axis, ends_after=9)
    fit(tmp_path, tensorboard(tmp_path), x_axis=x_axis, resume=7, ends_after=16)
    fit(tmp_path, tensorboard(tmp_path), x_axis=x_axis, resume=13)
    scalars = {tag: points for tag, points in in_tensorboard.items() if not isinstance(points[0][1], list)}
    with served(tmp_path / "tensorboard", *options) as address:
        for _ in range(60):  # until it has read the files
            found = served_scalars(address)
            if len(found) >= len(scalars):
                break
            time.sleep(0.5)
    assert {tag: [step for step, _ in points] for tag, points in found.items()} == {
        tag: [step for step, _ in points] for tag, points in scalars.items()
    }


@pytest.mark.parametrize("name", ["events.out.tfevents.{second}.vm.9.9", "events.out.tfevents.{second}.zz.1.1"])
def test_a_life_of_the_same_second_is_read_before_the_next(whole, tmp_path, monkeypatch, name):
    """TensorBoard reads files in the order of their names, and 10 stands before 9 there."""
    x_axis, in_tensorboard, _ = whole
    fit(tmp_path, tensorboard(tmp_path), x_axis=x_axis, ends_after=9)
    second = 2**31  # which is not over while the next life begins
    (file,) = (tmp_path / "tensorboard").glob("events*")
    file.rename(file.with_name(name.format(second=second)))
    clock = iter([second])
    monkeypatch.setattr(time, "time", lambda now=time.time: next(clock, second + 1) if _names_a_file() else now())
    fit(tmp_path, tensorboard(tmp_path), x_axis=x_axis, resume=7)
    assert tensorboard_series(tmp_path) == in_tensorboard


def _names_a_file():
    return "event_file_writer" in sys._getframe(2).f_globals["__name__"]


def test_a_run_may_end_again_and_again(whole, tmp_path):
    x_axis, _, in_csv = whole
    for resume, end in ((None, 5), (4, 9), (8, 9), (9, 9), (7, 16), (16, math.inf)):
        fit(tmp_path, table(tmp_path), x_axis=x_axis, resume=resume, ends_after=end)
    assert csv_series(tmp_path) == in_csv


def test_a_second_fit_is_cut_back_with_the_first(whole, tmp_path):
    """It has an event file of its own."""
    x_axis, in_tensorboard, in_csv = whole
    trainer = fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis)
    trainer.fit_loop.max_epochs += 1
    with warned():
        trainer.fit(trainer.lightning_module)
    assert len(tensorboard_series(tmp_path)["train/loss"]) > len(in_tensorboard["train/loss"])
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path), x_axis=x_axis, resume=7)
    assert tensorboard_series(tmp_path) == in_tensorboard
    assert csv_series(tmp_path) == in_csv


def test_a_run_that_begins_again_in_the_same_place_hides_the_one_before(tmp_path):
    for folder in (tmp_path / "once", tmp_path / "again"):
        fit(folder, tensorboard(folder), table(folder), ends_after=13 if folder.name == "again" else math.inf)
    again = tmp_path / "again"
    tensorboard_writer._BEGUN.clear()  # as another process would: this one remembers where it began
    for path in (again / "tensorboard").glob("events*"):
        path.rename(path.with_name(path.name.replace(f".{os.getpid()}.", ".1.")))
    fit(again, tensorboard(again), table(again))
    assert csv_series(again) == csv_series(tmp_path / "once")
    assert tensorboard_series(again) == tensorboard_series(tmp_path / "once")


def test_another_run_in_the_folder_keeps_its_rows(tmp_path):
    """Two runs of one folder: the one that is resumed is cut, whichever it is."""
    rows, folder = {}, tmp_path / "tensorboard"
    for name in ("first", "second"):
        before = set(folder.glob("events*"))
        with warned() as reported:
            fit(tmp_path / name, tensorboard(tmp_path), ends_after=13)
        assert len(reported) == len(rows)  # the second is warned of the first
        (rows[name],) = set(folder.glob("events*")) - before
    for name, other in (("first", "second"), ("second", "first")):
        sizes = {each: path.stat().st_size for each, path in rows.items()}
        fit(tmp_path / name, tensorboard(tmp_path), resume=7)
        assert rows[name].stat().st_size < sizes[name]
        assert rows[other].stat().st_size == sizes[other]


def test_two_loggers_of_one_folder_go_on_each_by_itself(tmp_path):
    def loggers():
        prefixed = TensorBoardLogger(tmp_path, name="", version="tensorboard", default_hp_metric=False, prefix="a")
        return prefixed, tensorboard(tmp_path)

    fit(tmp_path, *loggers(), ends_after=13)
    fit(tmp_path, *loggers(), resume=9)
    series = tensorboard_series(tmp_path)
    assert series["a-train/loss"] == series["train/loss"]
    fit(tmp_path / "whole", tensorboard(tmp_path / "whole"))
    assert series["train/loss"] == tensorboard_series(tmp_path / "whole")["train/loss"]


def wandb_points(folder, monkeypatch, *lives, x_axis):
    """The points of each tag that the lives of one W&B run have logged, pictures and histograms without their value."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    axis, points = "time/env_steps" if x_axis == "auto" else "time/optimizer_steps", {}
    for at, life in enumerate(lives):
        fit(folder, WandbLogger(save_dir=str(folder), id="one", offline=True), x_axis=x_axis, **life)
        wandb.finish()
        wandb.teardown()  # which waits for the file to be written
        (last,) = set((folder / "wandb").glob("offline-run-*-one*")) - set((folder / "wandb").glob("*-one-1"))
        last = last.rename(last.with_name(f"offline-run-20200101_00000{at}-one-1"))  # the second run of a second
        for row in read_history(last / "run-one.wandb"):
            if "time/elapsed" in row:  # not Lightning's, to which W&B adds the axis
                for tag, value in row.items():
                    points.setdefault(tag.removesuffix("._type"), []).append((int(row[axis]), json.loads(value)))
    return points


@pytest.mark.parametrize(("checkpoint", "end"), [(7, 9), (10, 13), (14, 14), (12, 12)])
def test_wandb_goes_on_by_its_id(whole, tmp_path, monkeypatch, checkpoint, end):
    """It keeps what it has: the interval that an end cut short. What it never had is added to the last row."""
    x_axis, in_tensorboard, _ = whole
    found = wandb_points(tmp_path, monkeypatch, {"ends_after": end}, {"resume": checkpoint}, x_axis=x_axis)
    for tag, points in in_tensorboard.items():
        expected, steps = {step for step, _ in points}, [step for step, _ in found[tag]]
        assert (set(steps) == expected) if x_axis == "auto" else (set(steps) >= expected), tag
        assert rises(steps) or tag.startswith("time/"), tag
    assert found["own/fifth"] == in_tensorboard["own/fifth"]


@pytest.mark.filterwarnings("ignore:There is a wandb run already in progress")
@pytest.mark.parametrize("is_new", [False, True], ids=["the same logger", "a new logger of the run that is open"])
def test_wandb_goes_on_in_one_process(tmp_path, monkeypatch, is_new):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    fit(tmp_path / "whole", tensorboard(tmp_path / "whole"))
    logger = WandbLogger(save_dir=str(tmp_path), id="one", offline=True)
    fit(tmp_path, logger, ends_after=13)
    fit(tmp_path, WandbLogger(save_dir=str(tmp_path), id="one", offline=True) if is_new else logger, resume=10)
    wandb.finish()
    wandb.teardown()
    (path,) = tmp_path.glob("wandb/offline-run-*-one/run-one.wandb")
    rows = [row for row in read_history(path) if "time/elapsed" in row]
    for tag in ("own/fifth", "train/loss", "rollout/return_mean"):
        steps = [int(row["time/env_steps"]) for row in rows if tag in row]
        assert steps == [step for step, _ in tensorboard_series(tmp_path / "whole")[tag]]


def test_a_logger_that_joins_later_has_what_comes_after(tmp_path):
    fit(tmp_path, table(tmp_path), ends_after=9)
    memory = MemoryLogger()
    fit(tmp_path, memory, table(tmp_path), tensorboard(tmp_path), resume=9)
    assert rises([step for step, _ in csv_series(tmp_path)["train/loss"]])
    later = [step for step, _ in memory.series("train/loss")]
    assert later == [step for step, _ in tensorboard_series(tmp_path)["train/loss"]]
    assert later == [step for step, _ in csv_series(tmp_path)["train/loss"]][-len(later) :]


@pytest.mark.parametrize("state", [{}, {"counters": {}}, {"counters": {}, "row_log": {"last_step": 3}}, {"x": 1}])
def test_a_checkpoint_of_another_version_ends_nothing(tmp_path, state):
    fit(tmp_path, table(tmp_path), ends_after=9)
    path = tmp_path / "checkpoints" / "step=8.ckpt"
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["callbacks"]["Recorder"] = state
    torch.save(checkpoint, path)
    with warned() as reported:
        trainer = fit(tmp_path, table(tmp_path), resume=8)
    assert trainer.global_step == STEPS
    assert len(reported) <= 1


def test_a_checkpoint_is_plain_and_small(tmp_path):
    fit(tmp_path, tensorboard(tmp_path), table(tmp_path))
    path = tmp_path / "checkpoints" / f"step={STEPS}.ckpt"
    state = torch.load(path, weights_only=True)["callbacks"]  # no class of ours has to be unpickled
    assert len(repr(state["Recorder"])) < 20_000


class Slow(MemoryLogger):
    """Does not take a row before it is told to."""


def test_rows_that_wait_for_a_backend_are_in_the_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(AsyncWriter, "checkpoint_timeout", 0.05)
    monkeypatch.setattr(AsyncWriter, "close_timeout", 0.2)
    blocked, written = Event(), []

    class Rewinds(Writer):
        def write(self, values, axes):
            if not blocked.wait(timeout=None):
                return
            if "time/env_steps" in values:  # no words or configuration
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
    assert sorted(set(written)) == [step for step, _ in expected.series("time/env_steps")]


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
    assert tensorboard_series(there) == in_tensorboard
