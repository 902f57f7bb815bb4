import numpy as np
import pytest
import torch
from lightning.pytorch.loggers import Logger

from puffer_callbacks import (
    Axes,
    Histogram,
    Hyperparameters,
    Image,
    MetricsCallback,
    PufferCallback,
    Recorder,
    Text,
    default_callbacks,
    log,
)
from puffer_callbacks.writers.fallback import FallbackWriter
from tests.support.models import Agent, Supervised, losses
from tests.support.warned import warned


class Plain(Logger):
    """Any other Lightning logger: it takes scalars and hyperparameters."""

    name, version = "plain", 0

    def __init__(self):
        super().__init__()
        self.metrics = []
        self.hparams = {}
        self.saves = 0

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, dict(metrics)))

    def log_hyperparams(self, params, *_, **__):
        self.hparams.update(params)

    def save(self):
        self.saves += 1


class Says(PufferCallback):
    def __init__(self, **values):
        self.values = values

    def on_step(self, trainer, pl_module, metrics):
        log(trainer, self.values)


def fit(quiet_trainer, logger, *callbacks, module=None):
    quiet_trainer(logger=logger, callbacks=list(callbacks)).fit(module or Agent(losses(*range(12))))


def test_the_configuration_is_given_once_where_the_run_begins():
    logger = Plain()
    writer = FallbackWriter(logger)
    writer.write({"hyperparameters": Hyperparameters({"gamma": 0.99}, {}, "running")}, Axes(None, 0, 0.0))
    assert logger.hparams == {"gamma": 0.99}
    writer.write({"hyperparameters": Hyperparameters({"gamma": 0.5}, {}, "success")}, Axes(None, 9, 0.0))
    assert logger.hparams == {"gamma": 0.99}
    assert logger.metrics == []
    writer.close()
    assert logger.saves == 1


def test_scalars_of_a_row_come_in_one_call_on_the_x_axis(quiet_trainer):
    logger = Plain()
    fit(quiet_trainer, logger, *default_callbacks(metrics=4, histograms=False))
    assert [step for step, _ in logger.metrics] == [16, 32, 48]
    for at, (step, metrics) in enumerate(logger.metrics):
        assert metrics["time/env_steps"] == step
        assert metrics["train/loss"] == 4 * at + 1.5
        assert all(type(value) is float for value in metrics.values())


def test_hyperparameters_come_once_and_secrets_do_not(quiet_trainer):
    logger = Plain()
    module = Agent(losses(*range(4)))
    module.save_hyperparameters({"gamma": 0.99, "token": "hush"})
    fit(quiet_trainer, logger, *default_callbacks(histograms=False), module=module)
    assert logger.hparams["gamma"] == 0.99
    assert "hush" not in repr(logger.hparams)


@pytest.mark.parametrize(
    "value",
    [Histogram.of(torch.ones(3)), Image(np.zeros((2, 2, 3), np.uint8)), Text("well")],
    ids=lambda value: type(value).__name__,
)
def test_what_it_cannot_take_is_told_once_and_the_rest_gets_through(quiet_trainer, value):
    logger = Plain()
    with warned() as reported:
        fit(quiet_trainer, logger, Says(odd=value, number=1.0))
    (warning,) = reported
    assert "Plain" in warning and "'odd'" in warning and type(value).__name__ in warning
    assert "writer_for.register(Plain)" in warning
    assert [metrics["number"] for _, metrics in logger.metrics] == [1.0, 1.0, 1.0]


def test_it_is_asked_to_save(quiet_trainer):
    logger = Plain()
    fit(quiet_trainer, logger, MetricsCallback(4))
    assert logger.saves >= 1


def test_a_logger_with_log_metrics_alone_is_enough(quiet_trainer):
    class Least:
        def __init__(self):
            self.metrics = []

        def log_metrics(self, metrics, step=None):
            self.metrics.append(step)

    logger = Least()
    module = Supervised(losses(*range(4)))
    trainer = quiet_trainer(callbacks=[MetricsCallback(2), Recorder(strict=True)])
    trainer.loggers = []
    with warned() as reported:
        from puffer_callbacks import Axes, writer_for

        writer = writer_for(logger)
        writer.write({"train/loss": 0.5}, Axes(None, 2, 0.0))
        writer.close()
    assert reported == []
    assert logger.metrics == [2]
    assert module.step == 0
