"""What TensorBoard shows of a run before anybody has chosen anything."""

import re

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.plugins.custom_scalar import layout_pb2, metadata

from puffer_callbacks import default_callbacks
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.values.vocabulary import describe
from tests.support.models import Agent, Supervised, losses
from tests.support.reading import accumulator, tensorboard_events

EVERY_SCALAR = ("policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance")
ROWS = [dict.fromkeys(("loss", *EVERY_SCALAR), float(at)) for at in range(8)]


def fit(quiet_trainer, folder, module, *, prefix="", callbacks=None):
    logger = TensorBoardLogger(folder, name="", version="", prefix=prefix)
    quiet_trainer(logger=logger, callbacks=callbacks or default_callbacks(metrics=4, histograms=4, gradients=4)).fit(
        module
    )


def layouts(folder):
    values = accumulator(folder).Tensors(metadata.CONFIG_SUMMARY_TAG)
    return [layout_pb2.Layout.FromString(value.tensor_proto.string_val[0]) for value in values]


def curves(chart):
    """The tags that a chart draws, as patterns."""
    margins = [re.escape(tag) for series in chart.margin.series for tag in (series.value, series.lower, series.upper)]
    return [*chart.multiline.tag, *margins]


def found_curves(folder, layout):
    """Title of each chart to the tags of the run that it shows."""
    tags = accumulator(folder).Tags()["scalars"]
    charts = [chart for category in layout.category for chart in category.chart]
    return {c.title: [tag for pattern in curves(c) for tag in tags if re.match(pattern, tag)] for c in charts}


@pytest.mark.parametrize("prefix", ["", "mine"])
def test_one_layout_shows_the_run(quiet_trainer, tmp_path, prefix):
    fit(quiet_trainer, tmp_path, Agent(ROWS), prefix=prefix)
    (layout,) = layouts(tmp_path)
    titles = [category.title for category in layout.category]
    assert titles == ["Returns", "Losses", "Policy health", "Critic", "Speed"]
    shown = found_curves(tmp_path, layout)
    expected = {c.title: len(curves(c)) for category in layout.category for c in category.chart}
    assert {title: len(tags) for title, tags in shown.items()} == expected


def test_a_run_without_an_environment_has_a_layout_of_losses(quiet_trainer, tmp_path):
    fit(quiet_trainer, tmp_path, Supervised(losses(*range(8))))
    (layout,) = layouts(tmp_path)
    assert [category.title for category in layout.category] == ["Losses", "Gradients", "Speed"]
    assert all(found_curves(tmp_path, layout).values())


def test_the_first_point_of_each_tag_is_described_and_no_other(quiet_trainer, tmp_path):
    fit(quiet_trainer, tmp_path, Agent(ROWS), prefix="mine")
    points: dict[str, list[str]] = {}
    for event in tensorboard_events(tmp_path):
        for value in event.summary.value:
            if not value.tag.startswith(("_hparams_", "custom_scalars")):
                points.setdefault(value.tag.removeprefix("mine-"), []).append(value.metadata.summary_description)
    assert len(points) > 40
    for tag, (first, *others) in points.items():
        assert first == str(describe(tag) or "")
        assert not any(others)
    assert points["diagnostics/approx_kl"][0] == (
        "KL from the rollout's policy, as mean(r − 1 − log r). [nats] Good: 0.001 to 0.02."
    )


def test_a_file_that_takes_the_place_of_a_broken_one_is_described_anew(quiet_trainer, tmp_path):
    module = Supervised(losses(*range(8)))

    class Breaks(MetricsCallback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 4:
                for path in tmp_path.glob("events.out.tfevents.*"):
                    path.unlink()

    with pytest.warns(UserWarning):
        fit(quiet_trainer, tmp_path, module, callbacks=[Breaks(1)])
    described = [
        value.metadata.summary_description
        for event in tensorboard_events(tmp_path)
        for value in event.summary.value
        if value.tag == "train/loss"
    ]
    assert described[0] == str(describe("train/loss"))
    assert layouts(tmp_path)
