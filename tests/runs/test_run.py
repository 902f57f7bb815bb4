import sys
from pathlib import Path

import numpy as np
import pytest

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.run import Run
from puffer_callbacks.values import Image


@pytest.fixture
def run():
    contents = Contents()
    for step in (10, 20, 30):
        contents.column("rollout/ep_rew_mean").add(step, step / 10, 1.7e9 + step)
    contents.column("train/entropy_loss").add(20, -0.5)
    contents.column("empty")
    contents.problems.append("<b>.csv: something")
    return Run(Path("logs/a & b"), "csv", contents)


def test_series_are_copies(run):
    steps, values = run.series("train/entropy_loss")
    assert (steps.dtype, values.dtype) == (np.int64, np.float64)
    values[:] = 7
    assert run.series("train/entropy_loss")[1].tolist() == [-0.5]


def test_tags_and_last_step(run):
    assert run.tags == ["rollout/ep_rew_mean", "train/entropy_loss"]
    assert run.last_step == 30
    assert Run(Path(), "csv", Contents()).last_step == 0


def test_first_and_last_step_are_those_of_everything_that_is_shown():
    contents = Contents()
    for step in (20, 30, 40, 20, 25):  # the second session ends before the first did
        contents.column("loss").add(step, 0.5)
    run = Run(Path(), "csv", contents)
    assert (run.first_step, run.last_step) == (20, 25)
    contents.text["note"] = [(7, "early"), (28, "late")]
    run = Run(Path(), "csv", contents)
    assert (run.first_step, run.last_step) == (7, 28)


def test_restarts_are_those_of_the_tag_with_the_most_points():
    contents = Contents()
    assert Run(Path(), "csv", contents).restarts == []
    for tag, steps in (("a", [9, 8]), ("loss", [10, 20, 30, 15]), ("z", [5])):
        for step in steps:
            contents.column(tag).add(step, 0.5)
    assert Run(Path(), "csv", contents).restarts == [(30, 15)]


@pytest.mark.parametrize("axis", ["env_steps", "optimizer_steps"])
def test_the_x_axis_is_the_count_that_the_steps_are(axis):
    contents = Contents()
    for step in (8, 16):
        for name in ("env_steps", "optimizer_steps"):
            contents.column(f"time/{name}").add(step, step if name == axis else step / 4)
    assert Run(Path(), "csv", contents).x_axis == axis


def test_scalars(run):
    table = run.scalars
    assert table.columns.tolist() == ["tag", "step", "value", "wall_time"]
    assert table.tag.tolist() == ["rollout/ep_rew_mean"] * 3 + ["train/entropy_loss"]
    assert table.step.tolist() == [10, 20, 30, 20]
    assert table.value.tolist() == [1.0, 2.0, 3.0, -0.5]
    np.testing.assert_array_equal(table.wall_time, [1.7e9 + 10, 1.7e9 + 20, 1.7e9 + 30, np.nan])
    assert len(Run(Path(), "csv", Contents()).scalars) == 0


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("rollout/ep_rew", "did you mean 'rollout/ep_rew_mean'?"),
        ("train/entropy", r"it is Run.canonical\['train/entropy'\] here"),
        ("xyz", "it has 2, see Run.tags"),
        ("empty", "expected a tag of the run"),
    ],
)
def test_a_tag_that_is_not_there(run, tag, hint):
    with pytest.raises(KeyError, match=hint):
        run.series(tag)


def test_without_pandas_the_message_names_the_extra(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'puffer_callbacks\[runs\]'"):
        _ = run.scalars


def test_a_picture_that_cannot_be_decoded_is_a_problem(run):
    def fail():
        raise OSError("cannot identify image file")

    run.contents.images["frames"] = [(1, fail), (2, lambda: Image(np.zeros((2, 2, 3), np.uint8)))]
    assert [step for step, _ in run.images["frames"]] == [2]
    assert run.problems[-1] == "frames at step 1 cannot be decoded: cannot identify image file"


def test_shown_in_one_block(run):
    lines = repr(run).splitlines()
    assert lines[0] == "Run logs/a & b"
    assert any("stable-baselines3, csv" in line for line in lines)
    assert any("train/reward" in line and "3 (from 1, 3 points)" in line for line in lines)
    assert len(lines) < 12
    shown = run._repr_html_()
    assert "a &amp; b" in shown
    assert "&lt;b&gt;.csv" in shown
    assert "<b>.csv" not in shown
