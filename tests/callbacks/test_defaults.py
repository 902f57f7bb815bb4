import inspect

import pytest

from puffer_callbacks import (
    HistogramCallback,
    HyperparametersCallback,
    MetricsCallback,
    RolloutCallback,
    default_callbacks,
)
from tests.support.models import Agent, Supervised, TwoOptimizers, losses

FOUNDATION = [MetricsCallback, RolloutCallback, HistogramCallback, HyperparametersCallback]


def kinds(**overrides):
    return [type(callback) for callback in default_callbacks(**overrides)]


def test_the_foundation_is_there_unasked():
    assert set(FOUNDATION) <= set(kinds())


def test_each_call_gives_fresh_callbacks():
    assert not set(map(id, default_callbacks())) & set(map(id, default_callbacks()))


def test_one_can_be_left_out():
    assert HistogramCallback not in kinds(histograms=False)
    assert MetricsCallback not in kinds(metrics=False)
    assert kinds(metrics=True) == kinds()


def test_an_integer_is_an_interval_and_a_dict_is_arguments():
    first = default_callbacks(metrics=7, histograms={"every_n_steps": 9, "gradients": False})
    metrics, histograms = (next(c for c in first if type(c) is kind) for kind in (MetricsCallback, HistogramCallback))
    assert metrics.every_n_steps == 7
    assert (histograms.every_n_steps, histograms.gradients, histograms.weights) == (9, False, True)


def test_a_callback_stands_in_the_place_of_the_default():
    mine = MetricsCallback(3)
    found = default_callbacks(metrics=mine)
    assert [callback for callback in found if isinstance(callback, MetricsCallback)] == [mine]


def test_an_unknown_name_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'metric'"):
        default_callbacks(metric=5)


def test_names_and_defaults_are_those_of_the_contract():
    parameters = inspect.signature(default_callbacks).parameters
    on, off = ("metrics", "rollout", "histograms", "gradients", "hyperparameters", "health"), (
        "images", "attention", "videos", "plasticity")  # fmt: skip
    assert {name: parameter.default for name, parameter in parameters.items()} == {
        **dict.fromkeys(on, True),
        **dict.fromkeys(off, False),
    }
    assert len(default_callbacks(**dict.fromkeys(off, True))) == len(parameters)


@pytest.mark.parametrize("override", [None, "50", 2.5, [50]])
def test_an_override_of_another_kind_is_refused(override):
    with pytest.raises(TypeError, match=r"default_callbacks\(metrics=…\): expected True, False"):
        default_callbacks(metrics=override)


def test_a_bad_interval_is_refused():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        default_callbacks(metrics=0)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(lambda: Supervised(losses(*range(12))), id="supervised"),
        pytest.param(lambda: Agent(losses(*range(12))), id="agent"),
        pytest.param(lambda: TwoOptimizers(batches=12), id="manual"),
    ],
)
def test_every_kind_of_module_trains_with_them(quiet_trainer, memory_logger, module):
    callbacks = default_callbacks(metrics=4, histograms=4)
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(module())
    assert len(memory_logger.series("train/loss")) == 3
    assert {"train/loss", "train/learning_rate", "time/optimizer_steps", "hyperparameters"} <= set(memory_logger.tags)
    assert any(tag.startswith("weights/") for tag in memory_logger.tags)
