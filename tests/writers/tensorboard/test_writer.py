import io
import json
import time

import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image as Pillow
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks import (
    Axes,
    Histogram,
    Image,
    MetricsCallback,
    PufferCallback,
    Recorder,
    Text,
    Video,
    default_callbacks,
    log,
    writer_for,
)
from tests.support.models import Agent, Supervised, losses, random_rollout
from tests.support.reading import accumulator, tensorboard_events, tensorboard_scalars

SCALARS = {
    *("time/env_steps", "time/optimizer_steps", "time/elapsed", "logging/overhead_pct", "throughput/sps"),
    *("train/loss", "train/learning_rate", "train/reward", "train/episode_length"),
    *("train/policy_loss", "train/value_loss", "train/entropy"),
    *("losses/policy", "losses/value", "losses/entropy"),
    *("diagnostics/approx_kl", "diagnostics/clip_fraction", "diagnostics/explained_variance"),
    *(f"rollout/return_{name}" for name in ("mean", "min", "p10", "median", "p90", "max")),
    *("rollout/episode_length_mean", "rollout/success_rate", "rollout/info/reward_forward"),
}
HISTOGRAMS = {
    *("weights/layer.weight", "weights/layer.bias", "gradients/layer.weight", "gradients/layer.bias"),
    *("rollout/advantages", "rollout/values", "rollout/rewards", "rollout/actions"),
}
RL = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction")


@pytest.fixture
def logger(tmp_path):
    return TensorBoardLogger(tmp_path, name="", version="")


def script(length):
    drawn = np.random.default_rng(0).normal(size=(length, len(RL) + 1))
    return [dict(zip(("loss", *RL), row, strict=True)) for row in drawn]


def fit(quiet_trainer, logger, *callbacks, module=None, **arguments):
    module = module or Agent(script(16))
    quiet_trainer(logger=logger, callbacks=list(callbacks), **arguments).fit(module)
    return module


class Says(PufferCallback):
    """Logs one mapping at the first step."""

    def __init__(self, values):
        self.values = values

    def on_step(self, trainer, pl_module, metrics):
        if pl_module.step == 1:
            log(trainer, self.values)


@pytest.mark.parametrize(
    ("x_axis", "scale", "first"), [("auto", 4, 16), ("env_steps", 4, 16), ("optimizer_steps", 1, 1)]
)
def test_tensorboard_finds_every_tag_on_the_chosen_axis(quiet_trainer, logger, tmp_path, x_axis, scale, first):
    fit(quiet_trainer, logger, Recorder(x_axis), *default_callbacks(metrics=4, histograms=8))
    found, scalars = accumulator(tmp_path), tensorboard_scalars(tmp_path)
    assert set(scalars) >= SCALARS
    assert set(found.Tags()["histograms"]) >= HISTOGRAMS
    assert [step for step, _ in scalars["train/loss"]] == [4 * scale, 8 * scale, 12 * scale, 16 * scale]
    assert [event.step for event in found.Histograms("weights/layer.weight")] == [first, 8 * scale, 16 * scale]
    chosen = "time/optimizer_steps" if x_axis == "optimizer_steps" else "time/env_steps"
    assert all(step == value for step, value in scalars[chosen])


def test_means_agree_with_numpy(quiet_trainer, logger, tmp_path):
    logged = script(16)
    fit(quiet_trainer, logger, *default_callbacks(metrics=4, histograms=False), module=Agent(logged))
    scalars = tensorboard_scalars(tmp_path)
    for name in ("loss", *RL):
        expected = np.array([step[name] for step in logged]).reshape(4, 4).mean(axis=1)
        group = "diagnostics" if name in ("approx_kl", "clip_fraction") else "train"
        np.testing.assert_allclose([value for _, value in scalars[f"{group}/{name}"]], expected, rtol=1e-6)
    entropy = [value for _, value in scalars["train/entropy"]]
    assert [value for _, value in scalars["losses/entropy"]] == [-value for value in entropy]


def test_a_row_is_one_event_with_every_axis(quiet_trainer, logger, tmp_path):
    fit(quiet_trainer, logger, *default_callbacks(metrics=1, histograms=2))
    events = tensorboard_events(tmp_path)
    rows = [event for event in events if any(value.tag == "time/elapsed" for value in event.summary.value)]
    assert [event.step for event in rows] == [16, 32, 48, 64]
    for event in rows:
        tags = [value.tag for value in event.summary.value]
        assert len(tags) == len(set(tags))
        assert {"time/env_steps", "time/optimizer_steps", "time/elapsed", "train/loss"} <= set(tags)
    others = {value.tag for event in events if event not in rows for value in event.summary.value}
    assert all(tag.startswith("_hparams_/") for tag in others)


def test_the_event_s_time_is_the_row_s(quiet_trainer, logger, tmp_path):
    began = time.time()
    fit(quiet_trainer, logger, MetricsCallback(1))
    events = tensorboard_events(tmp_path)
    assert all(began <= event.wall_time <= time.time() for event in events)
    elapsed = [value.simple_value for event in events for value in event.summary.value if value.tag == "time/elapsed"]
    assert np.diff([event.wall_time for event in events]) == pytest.approx(np.diff(elapsed), abs=1e-4)


def test_environment_steps_beyond_float32_are_exact_as_the_step_of_a_row(quiet_trainer, logger, tmp_path):
    steps = [2**24 + 1, 100_000_003, 2**40 + 1]  # which float32 would round
    module = Agent(script(12), make=lambda at, env_steps: random_rollout(at, steps[at] - 16))
    fit(quiet_trainer, logger, *default_callbacks(metrics=4), module=module)
    found = tensorboard_scalars(tmp_path)
    assert [step for step, _ in found["train/reward"]] == [step for step, _ in found["time/env_steps"]] == steps
    assert [value for _, value in found["time/env_steps"]] == pytest.approx(steps, rel=2**-24)


def test_seconds_of_a_month_of_training_are_exact_to_a_quarter():
    month = Axes(1, 1, 1.8e9).as_scalars(elapsed=30 * 86_400 + 0.3)
    assert Summary.Value(simple_value=month["time/elapsed"]).simple_value == pytest.approx(30 * 86_400 + 0.3, abs=0.25)


def test_weight_histograms_count_every_parameter(quiet_trainer, logger, tmp_path):
    module = fit(quiet_trainer, logger, *default_callbacks(histograms=4))
    found = accumulator(tmp_path)
    for name, parameter in module.named_parameters():
        for kind in ("weights", "gradients"):
            histogram = found.Histograms(f"{kind}/{name}")[-1].histogram_value
            assert sum(histogram.bucket) == histogram.num == parameter.numel()
        weights = found.Histograms(f"weights/{name}")[-1].histogram_value
        assert weights.min == pytest.approx(parameter.min().item())
        assert weights.max == pytest.approx(parameter.max().item())
        assert weights.sum == pytest.approx(parameter.sum().item(), abs=1e-6)
        assert weights.sum_squares == pytest.approx(parameter.square().sum().item(), rel=1e-6)
        assert sorted(weights.bucket_limit) == list(weights.bucket_limit)
        assert weights.bucket_limit[-1] >= weights.max


def test_a_histogram_s_buckets_hold_what_numpy_counts(quiet_trainer, logger, tmp_path):
    values = torch.randn(10_000)
    fit(quiet_trainer, logger, Says({"h": Histogram.of(values)}))
    found = accumulator(tmp_path).Histograms("h")[0].histogram_value
    for limit, count in zip(found.bucket_limit, np.cumsum(found.bucket), strict=True):
        assert count == pytest.approx(int((values.double().numpy() <= limit).sum()), abs=1)


def test_pictures_words_and_oddities_are_readable(quiet_trainer, logger, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    frames = np.stack([pixels, 255 - pixels, pixels])
    values = {
        "picture": Image(pixels),
        "gray": Image(pixels[..., :1].copy()),
        "film": Video(frames, fps=10),
        "words": Text("all **well** ü"),
        "empty": Histogram.of(torch.zeros(0)),
        "nan": float("nan"),
        "inf": float("-inf"),
        "größe/with space": 1.0,
    }
    fit(quiet_trainer, logger, Says(values))
    found = accumulator(tmp_path)
    picture = found.Images("picture")[0]
    assert (picture.width, picture.height) == (8, 6)
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(picture.encoded_image_string))), pixels)
    film = Pillow.open(io.BytesIO(found.Images("film")[0].encoded_image_string))
    assert (film.format, film.n_frames, film.size) == ("GIF", 3, (8, 6))
    assert "gray" in found.Tags()["images"]
    assert found.Tensors("words/text_summary")[0].tensor_proto.string_val[0].decode() == "all **well** ü"
    assert "words/text_summary" in found.PluginTagToContent("text")
    assert sum(found.Histograms("empty")[0].histogram_value.bucket) == 0
    scalars = tensorboard_scalars(tmp_path)
    assert np.isnan(scalars["nan"][0][1])
    assert scalars["inf"] == [(16, -np.inf)]
    assert scalars["größe/with space"] == [(16, 1.0)]


def test_a_prefix_stands_before_every_tag(quiet_trainer, tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="", prefix="mine")
    fit(quiet_trainer, logger, *default_callbacks(metrics=4, histograms=4))
    tags = accumulator(tmp_path).Tags()
    for kind, known in (("scalars", "train/loss"), ("histograms", "weights/layer.weight")):
        assert f"mine-{known}" in tags[kind]
        assert all(tag.startswith("mine-") for tag in tags[kind])


def test_what_the_module_logs_itself_is_kept(quiet_trainer, logger, tmp_path):
    class Logs(Supervised):
        def training_step(self, batch, batch_idx):
            self.log("own", float(batch_idx))
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, logger, MetricsCallback(2), module=Logs(losses(*range(4))))
    scalars = tensorboard_scalars(tmp_path)
    assert scalars["own"] == [(2, 0.5), (4, 2.5)]
    assert scalars["train/loss"] == [(2, 0.5), (4, 2.5)]


def test_rows_are_on_the_disk_at_the_end_of_the_fit(quiet_trainer, logger, tmp_path):
    fit(quiet_trainer, logger, MetricsCallback(4))
    assert len(tensorboard_scalars(tmp_path)["train/loss"]) == 4
    logger.experiment.add_scalar("after", 1.0, 100)
    logger.experiment.flush()
    assert tensorboard_scalars(tmp_path)["after"] == [(100, 1.0)]


def test_a_file_that_the_user_closes_before_the_first_row_is_no_earlier_run(logger, tmp_path):
    writer = writer_for(logger)
    logger.experiment.add_scalar("own", 1.0, 1)
    logger.experiment.close()
    writer.begin(0)
    writer.write({"train/loss": 0.5}, Axes(None, 2, 0.0))
    writer.close()
    scalars = tensorboard_scalars(tmp_path)
    assert (scalars["own"], scalars["train/loss"]) == ([(1, 1.0)], [(2, 0.5)])


def test_hyperparameters_stand_in_lightning_s_own_file(quiet_trainer, logger, tmp_path):
    module = Agent(script(4))
    module.save_hyperparameters({"gamma": 0.99, "token": "hush"})
    fit(quiet_trainer, logger, *default_callbacks(), module=module)
    written = (tmp_path / "hparams.yaml").read_text()
    assert "gamma: 0.99" in written
    assert "hush" not in written
    assert json.dumps("<redacted>")[1:-1] in written


def test_the_other_namespace_is_the_same(tmp_path):
    other = pytest.importorskip("pytorch_lightning")

    class Module(other.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def training_step(self, batch, batch_idx):
            return {"loss": self.layer.weight.sum() * 0 + float(batch)}

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

        def train_dataloader(self):
            return range(8)

    from pytorch_lightning.loggers import CSVLogger as OtherCSV
    from pytorch_lightning.loggers import TensorBoardLogger as OtherTensorBoard

    trainer = other.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=[
            OtherTensorBoard(tmp_path / "tb", name="", version=""),
            OtherCSV(tmp_path / "csv", name="", version=""),
        ],
        callbacks=default_callbacks(metrics=4, histograms=4),
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=True,
        log_every_n_steps=1,
        default_root_dir=tmp_path,
    )
    trainer.fit(Module())
    found = accumulator(tmp_path / "tb")
    assert tensorboard_scalars(tmp_path / "tb")["train/loss"] == [(4, 1.5), (8, 5.5)]
    assert sum(found.Histograms("weights/layer.weight")[-1].histogram_value.bucket) == 6
    assert "hp_metric" not in found.Tags()["scalars"]
    assert (tmp_path / "csv" / "metrics.csv").read_text().startswith("step,")
