"""Each of our hooks, and each function that one leaves with torch, raises in turn: the run ends as without us."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from puffer_callbacks import (
    AttentionCallback,
    GradientCallback,
    HistogramCallback,
    HyperparametersCallback,
    ImageCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    RolloutCallback,
    VideoCallback,
    emit,
)
from puffer_callbacks.recorder import clipping, counters
from puffer_callbacks.recorder.backward_norms import BackwardNorms
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.optimizer_schedule import OptimizerSchedule
from puffer_callbacks.recorder.optimizer_steps import OptimizerSteps
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.recorder.run import Run
from puffer_callbacks.recorder.training_steps import TrainingSteps
from tests.support.models import random_rollout
from tests.support.warned import warned

OURS = (
    AttentionCallback,
    GradientCallback,
    HistogramCallback,
    HyperparametersCallback,
    ImageCallback,
    MetricsCallback,
    RolloutCallback,
    VideoCallback,
)
GUARDED = [
    (kind, name)
    for kind in (PufferCallback, *OURS)
    for name, hook in vars(kind).items()
    if hasattr(hook, "__wrapped__") and not name.endswith(("on_exception", "_optimizer_step"))
    if (kind, name) != (RolloutCallback, "on_step")  # called where there are several ranks
]
"""Hooks and parts of checkpoints behind ``guarded`` or ``guarded_state``."""
PLAIN = [
    *((kind, "reset") for kind in (AttentionCallback, GradientCallback, HistogramCallback, ImageCallback)),
    *((kind, "reset") for kind in (MetricsCallback, RolloutCallback, VideoCallback)),
    *((kind, "resume_at") for kind in (GradientCallback, HistogramCallback, MetricsCallback, RolloutCallback)),
    *((kind, "before_optimizer_step") for kind in (GradientCallback, HistogramCallback)),
    *((kind, "_after_optimizer_step") for kind in (GradientCallback, HistogramCallback)),
    *((MetricsCallback, name) for name in ("update", "open_means")),
    *((Counters, name) for name in ("watch", "axes", "state_dict")),
    (counters, "rates_in"),
    *((OptimizerSteps, name) for name in ("open", "before_step", "_measure_before_clip", "_after_step", "_refresh")),
    *((BackwardNorms, name) for name in ("watch", "keep")),
    *((OptimizerSchedule, name) for name in ("called_from", "is_due", "mark")),
    *((RowLog, name) for name in ("start", "record", "advance", "write", "close", "state_dict")),
    *((Run, name) for name in ("open", "start", "record", "close", "state_dict")),
    *((TrainingSteps, name) for name in ("publish_later", "close")),
]
"""Called within a guard of the recorder."""
PROPERTIES = [*((kind, "next_step") for kind in OURS if "next_step" in vars(kind))]


pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable"),
]


class Trained(pl.LightningModule):
    """Manual optimization, at first with a clip, rollouts, and pictures of what there is."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.automatic_optimization = False
        self.net, self.attention = nn.Linear(4, 2), nn.MultiheadAttention(4, 1, batch_first=True)
        self.env_steps, self.env_id = 0, "CartPole-v1"
        self.save_hyperparameters({"gamma": 0.99})

    def forward(self, observations):
        return self.net(self.attention(*[observations.reshape(-1, 1, 4)] * 3)[0][:, 0])

    def training_step(self, batch, batch_idx):
        rollout = random_rollout(batch_idx, self.env_steps)
        self.env_steps = rollout.env_steps
        emit(self, "on_rollout_end", rollout)
        optimizer = self.optimizers()
        optimizer.zero_grad()
        loss = self(rollout.observations).square().mean()
        self.manual_backward(loss)
        if batch_idx < 4:
            nn.utils.clip_grad_norm_(self.parameters(), 0.1)
        optimizer.step()
        return {"loss": loss.detach()}

    def configure_optimizers(self):
        groups = [{"params": part.parameters()} for part in (self.net, self.attention)]
        return torch.optim.SGD(groups, lr=0.1)  # of two groups the rates are read by name

    def validation_step(self, batch, batch_idx): ...

    def train_dataloader(self):
        return DataLoader(torch.ones(12, 4), batch_size=2)

    def val_dataloader(self):
        return DataLoader(torch.ones(2, 4), batch_size=2)


class Save(pl.Callback):
    """Saves a checkpoint in mid-run."""

    def __init__(self, path):
        self.path = path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if batch_idx == 3:
            trainer.save_checkpoint(self.path)


def ours():
    pictures = [ImageCallback(2), AttentionCallback(2), VideoCallback(every_n_rollouts=6, max_steps=3)]
    counted = [MetricsCallback(2), GradientCallback(2), HistogramCallback(2, activations=True)]
    return [*pictures, *counted, RolloutCallback(), HyperparametersCallback(), Recorder()]


def trained(quiet_trainer, callbacks, path, *, resume=False):
    """The weights after a fit that saves a checkpoint, or after one that continues from it."""
    module = Trained()
    trainer = quiet_trainer(logger=MemoryLogger(), callbacks=[*callbacks, Save(path)], max_epochs=2 if resume else 1)
    trainer.fit(module, **({"ckpt_path": path, "weights_only": False} if resume else {}))
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain")
    off = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    build = partial(pl.Trainer, accelerator="cpu", log_every_n_steps=1, default_root_dir=folder, **off)
    first = trained(build, [], folder / "last.ckpt")
    return first, trained(build, [], folder / "last.ckpt", resume=True)


def fails(*args, **kwargs):
    raise ZeroDivisionError("ours")


@pytest.fixture(autouse=True)
def _released():
    """A ``close`` that was made to raise leaves torch's clip functions wrapped, for the tests that follow."""
    yield
    for callback in list(clipping._callbacks):
        clipping.stop_calling(callback)


def replace_wrapped(monkeypatch, hook):
    """Let the function behind a guard raise."""
    (cell,) = [cell for cell in hook.__closure__ if cell.cell_contents is hook.__wrapped__]
    monkeypatch.setattr(cell, "cell_contents", fails)


def ends_as_without_us(quiet_trainer, plain, path, *, name, callbacks=None):
    loads = name == "load_state_dict"
    with warned() as reported:
        found = trained(quiet_trainer, callbacks or ours(), path, resume=loads)
    assert torch.equal(found, plain[1] if loads else plain[0])
    assert any("ZeroDivisionError: ours" in message for message in reported), reported


@pytest.mark.parametrize(("kind", "name"), GUARDED, ids=lambda each: getattr(each, "__name__", each))
def test_a_guarded_hook_that_raises(quiet_trainer, plain, tmp_path, monkeypatch, kind, name):
    if name == "load_state_dict":
        trained(quiet_trainer, ours(), tmp_path / "last.ckpt")
    replace_wrapped(monkeypatch, vars(kind)[name])
    ends_as_without_us(quiet_trainer, plain, tmp_path / "last.ckpt", name=name)


@pytest.mark.parametrize(("kind", "name"), PLAIN, ids=lambda each: getattr(each, "__name__", each))
def test_a_function_within_a_guard_that_raises(quiet_trainer, plain, tmp_path, monkeypatch, kind, name):
    callbacks = ours()  # before, as some are constructed by ``reset``
    monkeypatch.setattr(kind, name, fails)
    ends_as_without_us(quiet_trainer, plain, tmp_path / "last.ckpt", name=name, callbacks=callbacks)


@pytest.mark.parametrize(("kind", "name"), PROPERTIES, ids=lambda each: getattr(each, "__name__", each))
def test_a_property_that_raises(quiet_trainer, plain, tmp_path, monkeypatch, kind, name):
    monkeypatch.setattr(kind, name, property(fails))
    ends_as_without_us(quiet_trainer, plain, tmp_path / "last.ckpt", name=name)


def test_nothing_raises_where_nothing_is_broken(quiet_trainer, plain, tmp_path):
    """The module and the callbacks of the tests above warn of nothing by themselves."""
    with warned() as reported:
        found = trained(quiet_trainer, ours(), tmp_path / "last.ckpt")
    assert torch.equal(found, plain[0])
    assert reported == []
