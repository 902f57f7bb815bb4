"""One offline run for all: W&B's service takes a second to start."""

import json
import math

import numpy as np
import pytest
import torch

from puffer_callbacks import (
    Axes,
    Histogram,
    Image,
    MemoryLogger,
    PufferCallback,
    Text,
    Video,
    default_callbacks,
    log,
)
from puffer_callbacks.writers.wandb import writer as wandb_writer
from puffer_callbacks.writers.wandb.run_file import read_history
from puffer_callbacks.writers.wandb.writer import WandbWriter
from tests.support.models import Agent
from tests.support.reading import wandb_config, wandb_records, wandb_rows, wandb_summary
from tests.support.warned import warned

wandb = pytest.importorskip("wandb")

import lightning.pytorch as pl  # noqa: E402
from lightning.pytorch.loggers import WandbLogger  # noqa: E402

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
WIDE = Histogram.of(torch.randn(100_000, generator=torch.Generator().manual_seed(0)) ** 9)


class Says(PufferCallback):
    def on_rollout_end(self, trainer, pl_module, rollout):
        episode = Video(np.stack([PIXELS] * 3), fps=10, caption=f"return {rollout.env_steps}")
        log(trainer, {"episodes": episode})

    def on_step(self, trainer, pl_module, metrics):
        if pl_module.step == 1:
            log(
                trainer,
                {
                    "picture": Image(PIXELS, caption="noise"),
                    "line": Image(PIXELS[:1]),
                    "film": Video(np.stack([PIXELS] * 3), fps=10),
                },
            )
            log(trainer, {"words": Text("well"), "nan": math.nan, "inf": math.inf, "wide": WIDE})


class Run:
    """A finished offline run, and what a memory logger was given beside it."""

    def __init__(self, folder, **arguments):
        self.folder = folder
        self.memory = MemoryLogger()
        logger = WandbLogger(project="test", offline=True, save_dir=folder, **arguments)
        self.module = Agent([{"loss": float(i), "entropy": float(i) ** 2} for i in range(16)])
        self.module.save_hyperparameters({"gamma": 0.99, "api_key": "hush", "deep": {"er": True}, "name": "ppo"})
        pl.Trainer(
            accelerator="cpu",
            max_epochs=1,
            default_root_dir=folder,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            log_every_n_steps=1,
            logger=[logger, self.memory],
            callbacks=[*default_callbacks(metrics=4, histograms=4), Says()],
        ).fit(self.module)
        wandb.finish()
        wandb.teardown()  # which waits for the file to be written
        self.rows = wandb_rows(folder)

    def series(self, tag):
        return [(int(row["time/env_steps"]), row[tag]) for row in self.rows if tag in row]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("WANDB_SILENT", "true")
        yield Run(tmp_path_factory.mktemp("wandb"))


def test_it_holds_the_same_scalars_as_every_other_backend(run):
    tags = [tag for tag in run.memory.tags if isinstance(run.memory.series(tag)[0][1], float)]
    assert {"train/loss", "losses/entropy", "rollout/return_p90", "time/elapsed", "throughput/sps"} <= set(tags)
    for tag in tags:
        expected = run.memory.series(tag)
        assert [step for step, _ in run.series(tag)] == [step for step, _ in expected], tag
        np.testing.assert_allclose([v for _, v in run.series(tag)], [v for _, v in expected], rtol=1e-12, err_msg=tag)


def test_a_row_is_one_row_with_every_axis(run):
    assert [row["time/env_steps"] for row in run.rows] == [16, 32, 48, 64]
    assert [row["time/optimizer_steps"] for row in run.rows] == [4, 8, 12, 16]
    assert all("time/elapsed" in row for row in run.rows)


def test_charts_are_drawn_over_the_run_s_axis(run):
    metrics = [record.metric for record in wandb_records(run.folder) if record.HasField("metric")]
    assert "time/env_steps" in [metric.name for metric in metrics]
    last = [metric for metric in metrics if metric.glob_name == "*"][-1]
    assert last.step_metric == "time/env_steps"


def test_histograms_count_every_parameter_within_512_bins(run):
    for name, parameter in run.module.named_parameters():
        counts = [row[f"weights/{name}/values"] for row in run.rows if f"weights/{name}/values" in row]
        assert [sum(values) for values in counts] == [parameter.numel()] * 4
    (wide,) = (row for row in run.rows if "wide/values" in row)
    assert sum(wide["wide/values"]) == 100_000
    assert len(wide["wide/values"]) <= 512
    assert len(wide["wide/bins"]) == len(wide["wide/values"]) + 1
    assert wide["wide/bins"] == sorted(wide["wide/bins"])


def test_pictures_are_media_files(run):
    (row,) = (row for row in run.rows if "picture/path" in row)
    assert row["picture/_type"] == "image-file"
    assert row["picture/caption"] == "noise"
    assert row["film/_type"] == "video-file"
    sizes = [(row[f"{tag}/width"], row[f"{tag}/height"]) for tag in ("picture", "line")]
    assert sizes == [(8, 6), (8, 1)]
    media = {path.suffix: path for path in run.folder.rglob("media/**/*") if path.is_file()}
    assert media[".png"].read_bytes()[:4] == b"\x89PNG"
    assert media[".gif"].read_bytes()[:6] == b"GIF89a"


def test_the_summary_shows_the_best_return_beside_the_last(run):
    returns = [value for _, value in run.memory.series("rollout/return_mean")]
    expected = {"max": pytest.approx(max(returns)), "last": pytest.approx(returns[-1])}
    assert wandb_summary(run.folder)["rollout/return_mean"] == expected
    assert max(returns) != returns[-1]
    metrics = {record.metric.name: record.metric for record in wandb_records(run.folder) if record.HasField("metric")}
    assert metrics["rollout/return_mean"].step_metric == "time/env_steps"


def test_evaluation_episodes_are_videos_and_rows_of_a_table(run):
    rows = [row for row in run.rows if "episodes/path" in row]
    assert [row["time/env_steps"] for row in rows] == [16, 32, 48, 64]
    assert all(row["episodes/_type"] == "video-file" for row in rows)
    table = json.loads((next(run.folder.rglob(rows[-1]["episodes_table/path"]))).read_text())
    assert table["columns"] == ["time/env_steps", "episode"]
    assert table["data"] == [[step, f"return {step}"] for step in (16, 32, 48, 64)]


def test_oddities_are_recorded_as_they_are(run):
    (row,) = (row for row in run.rows if "words" in row)
    assert row["words"] == "well"
    assert math.isnan(float(row["nan"]))
    assert math.isinf(float(row["inf"]))


def test_the_configuration_is_there_without_its_secrets(run):
    config = wandb_config(run.folder)
    assert (config["gamma"], config["deep/er"], config["name"]) == (0.99, True, "ppo")
    assert config["optimizer/lr"] == 0.1
    assert config["api_key"] == "<redacted>"
    for path in run.folder.rglob("*"):
        assert not path.is_file() or b"hush" not in path.read_bytes(), path


def test_the_summary_shows_the_final_metrics(run):
    summary = wandb_summary(run.folder)
    assert summary["train/reward"] == pytest.approx(run.memory.series("train/reward")[-1][1])


def test_a_prefix_stands_before_the_axis_too(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    run = Run(tmp_path, prefix="mine")
    assert all(key.startswith("mine-") for row in run.rows for key in row)
    metrics = [record.metric for record in wandb_records(tmp_path) if record.HasField("metric")]
    assert [m for m in metrics if m.glob_name == "*"][-1].step_metric == "mine-time/env_steps"


@pytest.fixture
def silent(monkeypatch):
    """W&B prints nothing, and leaves no run open to the next test."""
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield
    wandb.finish()
    wandb.teardown()


def written(logger, *episodes, state=None, resume=None):
    """A writer that was given an episode and a number at each of these steps."""
    writer = WandbWriter(logger)
    writer.x_axis = "env_steps"
    if state is not None:
        writer.load_state_dict(state)
        writer.resume(resume)
    for step in episodes:
        episode = Video(np.stack([PIXELS] * 2), fps=10, caption=f"return {step}")
        writer.write({"episodes": episode, "time/env_steps": float(step)}, Axes(step, step, 0.0))
    return writer


def tables(folder):
    """The steps in each table of episodes, in the order of their logging, of each life."""
    lives = sorted(folder.glob("wandb/offline-run-*"))
    tables = [[json.loads(path.read_text())["data"] for path in life.rglob("table/*.json")] for life in lives]
    return [sorted([step for step, _ in table] for table in life) for life in tables]


def offline(folder):
    return WandbLogger(project="test", id="one", offline=True, save_dir=folder)


def finished(folder, at):
    wandb.finish()
    wandb.teardown()
    (last,) = set(folder.glob("wandb/offline-run-*")) - set(folder.glob("wandb/offline-run-2020*"))
    last.rename(last.with_name(f"offline-run-20200101_00000{at}-one"))


def test_the_table_of_episodes_goes_on_after_a_resume_and_in_a_second_fit(tmp_path, silent):
    logger = offline(tmp_path)
    state = written(logger, 96, 192).state_dict()
    assert written(logger, 288).state_dict() == {"episodes": [[s, f"return {s}"] for s in (96, 192, 288)]}
    finished(tmp_path, 0)
    written(offline(tmp_path), 288, 384, state=state, resume=192)  # 288 is in W&B already
    finished(tmp_path, 1)
    assert tables(tmp_path) == [[[96], [96, 192], [96, 192, 288]], [[96, 192, 288, 384]]]


def test_the_table_of_episodes_is_bounded(tmp_path, silent, monkeypatch):
    monkeypatch.setattr(wandb_writer, "MAX_EPISODES", 2)
    writer = written(offline(tmp_path), 96, 192, 288)
    finished(tmp_path, 0)
    assert [step for step, _ in writer.state_dict()["episodes"]] == [192, 288]
    assert tables(tmp_path) == [[[96], [96, 192], [192, 288]]]


def test_a_checkpoint_without_episodes_is_loaded(tmp_path, silent):
    writer = written(offline(tmp_path), state={}, resume=-1)
    assert writer.state_dict() == {"episodes": []}
    finished(tmp_path, 0)


@pytest.mark.parametrize("prefix", ["", "agent"])
def test_names_of_wandb_s_own_are_left_out_and_reported(tmp_path, silent, prefix):
    writer = WandbWriter(WandbLogger(project="test", id="one", offline=True, save_dir=tmp_path, prefix=prefix))
    for step in range(2):
        writer.write({"_step": 50.0, "_runtime": -1.0, "time/optimizer_steps": float(step)}, Axes(None, step, 0.0))
    finished(tmp_path, 0)
    with warned() as reported:
        writer.faults.report_deferred()
    (path,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    if prefix:
        assert (reported, [row["agent-_step"] for row in read_history(path)]) == ([], ["50", "50"])
    else:
        assert [text.split(":")[0] for text in reported] == ["WandbLogger, _runtime", "WandbLogger, _step"]
    assert [row["_step"] for row in read_history(path)] == ["0", "1"]
