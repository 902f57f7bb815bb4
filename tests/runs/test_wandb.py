import sys

import numpy as np
import pytest
import wandb

from puffer_callbacks.runs import read_run

PIXELS = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")

    def write(rows, run_id="abc123", axis=None, config=None, name=None):
        place = {"project": "p", "dir": str(tmp_path), "reinit": "finish_previous"}
        run = wandb.init(**place, id=run_id, config=config or {}, name=name)
        if axis:
            run.define_metric(axis)
            run.define_metric("*", step_metric=axis, step_sync=True)
        for row in rows:
            run.log(row)
        run.finish()
        wandb.teardown()  # which waits for the file to be written
        (path,) = [path for path in run_files(tmp_path) if path.parent.name not in before]
        before.add(path.parent.name)
        return path

    before: set[str] = set()
    return write


def run_files(folder):
    return [path for path in folder.rglob("*.wandb") if not path.parent.is_symlink()]


def test_everything_that_a_row_can_hold(offline, tmp_path):
    values = np.random.default_rng(0).normal(size=500)
    row = {"env_steps": 64, "loss": 0.5, "nan": float("nan"), "inf": float("-inf"), "nested": {"x": 1},
           "note": "hello", "weights": wandb.Histogram(values), "frame": wandb.Image(PIXELS)}  # fmt: skip
    offline([row], axis="env_steps", config={"lr": 1e-3, "net": {"hidden": 64}, "sizes": [1, 2], "none": None})
    run = read_run(tmp_path)
    assert run.format == "wandb"
    assert run.problems == []
    assert run.tags == ["env_steps", "inf", "loss", "nan", "nested/x"]
    np.testing.assert_array_equal(run.series("loss"), ([64], [0.5]))
    assert np.isnan(run.series("nan")[1][0])
    assert run.series("inf")[1][0] == -np.inf
    assert run.text == {"note": [(64, "hello")]}
    assert run.hyperparameters == {"lr": 1e-3, "net/hidden": 64, "sizes": "[1, 2]"}
    assert run.contents.name == ""
    ((step, histogram),) = run.histograms["weights"]
    assert (step, histogram.count) == (64, 500)
    assert histogram.quantile(0.5) == pytest.approx(np.median(values), abs=np.ptp(values) / 64)
    np.testing.assert_array_equal(run.images["frame"][0][1].pixels, PIXELS)
    assert run.scalars.wall_time.between(1.7e9, 4e9).all()


def test_cleanrl_s_global_step(offline, tmp_path):
    offline([{"global_step": 100, "charts/SPS": 5.0, "losses/entropy": 0.6}, {"charts/SPS": 6.0}], name="brave")
    run = read_run(tmp_path)
    assert run.contents.name == "brave"
    assert run.source == "cleanrl"
    np.testing.assert_array_equal(run.canonical["throughput/sps"], ([100, 100], [5.0, 6.0]))


def test_lives_of_one_run_are_one(offline, tmp_path):
    offline([{"loss": 1.0, "global_step": 1}])
    offline([{"loss": 2.0, "global_step": 2}])
    np.testing.assert_array_equal(read_run(tmp_path).series("loss"), ([1, 2], [1.0, 2.0]))


def test_a_file_cut_short(offline):
    path = offline([{"loss": float(i), "global_step": i, "pad": "x" * 2000} for i in range(60)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    run = read_run(path)
    steps, values = run.series("loss")
    assert 10 < len(steps) < 60
    np.testing.assert_array_equal(steps, np.arange(len(steps)))
    np.testing.assert_array_equal(values, steps)
    (problem,) = run.problems
    assert "cut short" in problem


def test_a_damaged_block_costs_that_block(offline):
    path = offline([{"loss": float(i), "global_step": i, "pad": "x" * 2000} for i in range(60)])
    data = bytearray(path.read_bytes())
    data[40_000] ^= 1
    path.write_bytes(data)
    run = read_run(path)
    steps, values = run.series("loss")
    assert 30 < len(steps) < 60
    assert steps[-1] == 59
    np.testing.assert_array_equal(values, steps)
    assert run.problems


def test_without_wandb_the_message_names_the_extra(offline, monkeypatch):
    path = offline([{"loss": 1.0}])
    monkeypatch.setitem(sys.modules, "wandb.proto.wandb_internal_pb2", None)
    with pytest.raises(ImportError, match=r"pip install 'puffer_callbacks\[wandb\]'"):
        read_run(path)
