from argparse import Namespace

import pytest
import torch
from lightning.pytorch.loggers import Logger

from puffer_callbacks import Histogram, HyperparametersCallback, MemoryLogger, MetricsCallback, Text
from tests.support.models import Supervised, losses


def test_it_is_a_lightning_logger():
    assert isinstance(MemoryLogger(), Logger)
    assert (MemoryLogger().name, MemoryLogger().version) == ("memory", "0")


def test_series_are_points_on_the_x_axis(quiet_trainer, memory_logger):
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(2)]).fit(Supervised(losses(*range(4))))
    assert memory_logger.series("train/loss") == [(2, 0.5), (4, 2.5)]
    assert memory_logger.tags == sorted(memory_logger.tags)


def test_hyperparameters_come_as_a_dict_or_a_namespace():
    logger = MemoryLogger(save_dir="runs")
    logger.log_hyperparams({"gamma": 0.99})
    logger.log_hyperparams(Namespace(lr=0.1))
    assert logger.hparams == {"gamma": 0.99, "lr": 0.1}
    assert logger.save_dir == "runs"


def test_values_of_every_type_are_kept_unchanged():
    logger, histogram = MemoryLogger(), Histogram.of(torch.ones(3))
    logger.log_values({"h": histogram, "x": 1.0}, 16)
    ((step, kept),) = logger.series("h")
    assert step == 16
    assert kept is histogram


def test_an_unknown_tag_raises_and_lists_the_known_tags():
    logger = MemoryLogger()
    logger.log_metrics({"train/loss": 1.0}, step=1)
    with pytest.raises(KeyError, match=r"expected one of the tags \['train/loss'\], got 'train/lost'"):
        logger.series("train/lost")
    assert logger.tags == ["train/loss"]


def test_a_series_cannot_be_changed_from_outside():
    logger = MemoryLogger()
    logger.log_metrics({"a": 1.0}, step=1)
    logger.series("a").clear()
    assert logger.series("a") == [(1, 1.0)]


def test_texts_are_one_line_each_in_order_of_step():
    logger = MemoryLogger()
    logger.log_values({"z": Text("first")}, 1)
    logger.log_values({"a": Text("second"), "x": 1.0}, 2)
    assert logger.text == "z: first\na: second"


def test_scalars_of_self_log_are_floats():
    logger = MemoryLogger()
    logger.log_metrics({"a": torch.tensor(1.5)}, step=3)
    logger.log_metrics({"b": 1})
    assert logger.series("a") == [(3, 1.5)]
    assert logger.series("b") == [(0, 1.0)]


def test_hyperparameters_are_kept_whoever_logs_them(quiet_trainer):
    for callbacks in ([MetricsCallback()], [HyperparametersCallback()]):
        logger, module = MemoryLogger(), Supervised(losses(0.0))
        module.save_hyperparameters({"gamma": 0.99})
        quiet_trainer(logger=logger, callbacks=callbacks).fit(module)
        assert logger.hparams["gamma"] == 0.99


def test_scalars_become_a_tidy_table():
    logger = MemoryLogger()
    logger.log_values({"b": 1.0, "words": Text("x"), "h": Histogram.of(torch.ones(3))}, 64)
    logger.log_values({"b": 2.0, "a": 3.0}, 128)
    frame = logger.to_pandas()
    assert list(frame.columns) == ["tag", "step", "value"]
    assert frame.values.tolist() == [["a", 128, 3.0], ["b", 64, 1.0], ["b", 128, 2.0]]


def test_a_notebook_shows_the_last_values_and_a_curve_of_each():
    logger = MemoryLogger()
    for step in range(1000):
        logger.log_values({"train/reward": float(step), "train/<nan>": float("nan")}, step)
    html = logger._repr_html_()
    assert "train/reward" in html
    assert ">999<" in html
    assert "train/&lt;nan&gt;" in html
    assert html.count("<svg") == 2
    assert len(html) < 5000
