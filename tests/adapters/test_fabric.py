import lightning.pytorch as pl
import pytest
import torch
from lightning.fabric import Fabric
from lightning.fabric.loggers import CSVLogger, TensorBoardLogger
from torch import nn

from puffer_callbacks import (
    HistogramCallback,
    MetricsCallback,
    PufferCallback,
    RolloutCallback,
    default_callbacks,
)
from puffer_callbacks.adapters import Loop
from tests.support.models import random_rollout
from tests.support.reading import tensorboard_scalars


class Gradients(PufferCallback):
    def __init__(self):
        self.norms = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.norms.append(torch.cat([p.grad.flatten() for p in pl_module.parameters()]).norm().item())


def train(fabric, loop, *, updates=4):
    """A Fabric loop that reaches its callbacks by ``fabric.call`` alone."""
    module = nn.Linear(4, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    model, optimizer = fabric.setup(module, optimizer)
    fabric.call("fit_start", model, {"gamma": 0.9})
    for at in range(updates):
        fabric.call("on_rollout_end", random_rollout(at, at * 16))
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).sum() * 100
        fabric.backward(loss)
        fabric.clip_gradients(model, optimizer, max_norm=0.5)
        optimizer.step()
        fabric.call("step", {"loss": float(at)})
    fabric.call("close")
    return module


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_is_the_same_bit_for_bit(memory_logger, precision):
    weights = []
    for callbacks in ([], default_callbacks(metrics=1, histograms=1, gradients=1)):
        torch.manual_seed(1)
        settings = {"accelerator": "cpu", "devices": 1, "precision": precision}
        fabric = Fabric(**settings, callbacks=callbacks, loggers=[memory_logger])
        weights.append(train(fabric, Loop.from_fabric(fabric) if callbacks else None))
    assert all(torch.equal(*pair) for pair in zip(*(module.parameters() for module in weights), strict=True))


@pytest.mark.parametrize("listed", ["callbacks", "loop"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_fabric_reaches_the_callbacks(memory_logger, listed, precision):
    gradients = Gradients()
    callbacks = [gradients, *default_callbacks(metrics=2, histograms=2)]
    if listed == "loop":
        loop = Loop(memory_logger, callbacks)
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision, callbacks=loop, loggers=memory_logger)
    else:
        fabric = Fabric(accelerator="cpu", devices=1, precision=precision, callbacks=callbacks, loggers=[memory_logger])
        loop = Loop.from_fabric(fabric)
    train(fabric, loop)
    assert memory_logger.series("train/loss") == [(32, 0.5), (64, 2.5)]
    assert [step for step, _ in memory_logger.series("train/reward")] == [16, 32, 48, 64]
    assert [step for step, _ in memory_logger.series("weights/weight")] == [16, 32, 64]
    assert [step for step, _ in memory_logger.series("gradients/weight")] == [16, 32, 64]
    assert memory_logger.series("train/learning_rate") == [(32, 0.1), (64, 0.1)]
    assert len(gradients.norms) == 4
    assert min(gradients.norms) > 100, "before the clip"


def test_a_fabric_without_callbacks_has_the_default_ones(memory_logger):
    fabric = Fabric(accelerator="cpu", devices=1, loggers=[memory_logger])
    train(fabric, Loop.from_fabric(fabric))
    assert {"train/loss", "train/reward", "weights/weight", "gradients/weight"} <= set(memory_logger.tags)


def test_parts_that_fabric_has_wrapped_keep_their_names(memory_logger):
    fabric = Fabric(accelerator="cpu", devices=1, loggers=[memory_logger])
    agent = nn.ModuleDict({"actor": fabric.setup_module(nn.Linear(4, 1))})
    optimizer = fabric.setup_optimizers(torch.optim.SGD(agent.parameters(), lr=0.1))
    loop = Loop.from_fabric(fabric)
    loop.fit_start(agent)
    for at in range(2):
        loop.rollout_end(random_rollout(at, at * 16))
        fabric.backward(agent["actor"](torch.ones(2, 4)).sum())
        optimizer.step()
        loop.step({"loss": 1.0})
    loop.close()
    tags = {"weights/actor.weight", "gradients/actor.weight", "diagnostics/weight_norm/actor"}
    assert tags <= set(memory_logger.tags)
    assert not [tag for tag in memory_logger.tags if "_forward_module" in tag]


def test_the_long_form_of_the_hook_works_too(memory_logger):
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[RolloutCallback()], loggers=[memory_logger])
    loop = Loop.from_fabric(fabric)
    module = fabric.setup(nn.Linear(4, 1))
    loop.fit_start(module)
    fabric.call("on_rollout_end", fabric, module, random_rollout(0, 0))
    fabric.call("on_rollout_end", rollout=random_rollout(1, 16))
    loop.close()
    assert [step for step, _ in memory_logger.series("train/reward")] == [16, 32]


def test_fabric_s_own_loggers_are_fed(tmp_path):
    loggers = [TensorBoardLogger(tmp_path, name="tb"), CSVLogger(tmp_path, name="csv")]
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=[MetricsCallback(2), RolloutCallback()], loggers=loggers)
    train(fabric, Loop.from_fabric(fabric))
    assert tensorboard_scalars(loggers[0].log_dir)["train/loss"] == [(32, 0.5), (64, 2.5)]
    assert "train/loss" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()


def test_the_other_namespace_s_fabric_works(memory_logger):
    fabric_package = pytest.importorskip("lightning_fabric")
    fabric = fabric_package.Fabric(
        accelerator="cpu",
        devices=1,
        callbacks=[HistogramCallback(2), MetricsCallback(2)],
        loggers=[memory_logger],
    )
    train(fabric, Loop.from_fabric(fabric))
    assert [step for step, _ in memory_logger.series("weights/weight")] == [16, 32, 64]
    assert memory_logger.series("train/loss") == [(32, 0.5), (64, 2.5)]


def test_a_lightning_module_and_other_callbacks_stay_as_they_are(memory_logger):
    class Other:
        calls = 0

        def on_rollout_end(self, rollout):
            self.calls += 1

    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"gamma": 0.9})
            self.layer = nn.Linear(2, 1)

    other, listed = Other(), default_callbacks()
    callbacks = [other, *listed]
    fabric = Fabric(accelerator="cpu", devices=1, callbacks=callbacks, loggers=[memory_logger])
    loop = Loop.from_fabric(fabric)
    module = fabric.setup(Module())
    loop.fit_start(module)
    fabric.call("on_rollout_end", random_rollout(0, 0))
    loop.close()
    assert other.calls == 1
    assert callbacks == [other, *listed], "the user's own list is not touched"
    assert memory_logger.series("hyperparameters")[0][1].settings["gamma"] == 0.9


def test_another_object_gets_one_clear_error():
    with pytest.raises(TypeError, match="from_fabric: expected a lightning Fabric, got Linear"):
        Loop.from_fabric(nn.Linear(1, 1))
