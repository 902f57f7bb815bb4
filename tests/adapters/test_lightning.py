"""Options of Lightning's ``Trainer`` that change the flow, in both namespaces."""

import importlib

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from puffer_callbacks import MemoryLogger, Recorder, RolloutCallback, default_callbacks, emit
from puffer_callbacks.ppo import PPO
from tests.support.models import random_rollout
from tests.support.reading import tensorboard_scalars

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*fewer batches"),
]


@pytest.fixture(params=["lightning.pytorch", "pytorch_lightning"])
def pl(request):
    return pytest.importorskip(request.param)


def finder(pl, name):
    return getattr(importlib.import_module(f"{pl.__name__}.callbacks"), name)


def make_module(pl, *, batches=8, rollouts=False, compiled=False):
    class Module(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))
            if compiled:
                self.net = torch.compile(self.net, backend="eager")
            self.lr = 0.01
            self.batch_size = 2
            if rollouts:
                self.env_steps = 0

        def forward(self, x):
            return self.net(x)

        def training_step(self, batch, batch_idx):
            if rollouts:
                rollout = random_rollout(batch_idx, self.env_steps)
                self.env_steps = rollout.env_steps
                emit(self, "on_rollout_end", rollout)
            return {"loss": self(batch).square().mean(), "index": torch.tensor(float(batch_idx))}

        def validation_step(self, batch, batch_idx):
            loss = self(batch).mean()
            self.log("val_loss", loss)
            return {"loss": loss, "index": -1.0}

        test_step = validation_step

        def predict_step(self, batch, batch_idx):
            return self(batch)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=self.lr)

        def train_dataloader(self):
            return DataLoader(torch.ones(batches * 2, 4), batch_size=self.batch_size)

        def val_dataloader(self):
            return DataLoader(torch.ones(4, 4), batch_size=2)

        test_dataloader = predict_dataloader = val_dataloader

    return Module()


def make_trainer(pl, logger, callbacks, **options):
    quiet = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": logger,
        "callbacks": callbacks,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "limit_val_batches": 0,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": False,
    }
    return pl.Trainer(**{**quiet, **options})


def callbacks(**overrides):
    strict = Recorder(strict=True, overhead_budget=1.0)
    return [strict, *default_callbacks(**{"metrics": 2, "histograms": 4, "gradients": 4, **overrides})]


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


def no_step_twice(logger):
    for tag in logger.tags:
        points = steps(logger, tag)
        assert tag == "hyperparameters" or points == sorted(set(points)), f"{tag}: {points}"


@pytest.mark.parametrize("rollouts", [False, True])
def test_both_namespaces(pl, tmp_path, rollouts):
    memory = MemoryLogger()
    loggers = importlib.import_module(f"{pl.__name__}.loggers")
    tensorboard = loggers.TensorBoardLogger(tmp_path, name="tb")
    csv = loggers.CSVLogger(tmp_path, name="csv")
    make_trainer(pl, [memory, tensorboard, csv], callbacks()).fit(make_module(pl, rollouts=rollouts))
    scale = 16 if rollouts else 1
    assert memory.series("train/index") == [(step * scale, step - 1.5) for step in (2, 4, 6, 8)]
    assert tensorboard_scalars(tensorboard.log_dir)["train/index"] == memory.series("train/index")
    assert "train/index" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()
    assert steps(memory, "gradients/net.0.weight") == [scale, 4 * scale, 8 * scale]
    no_step_twice(memory)


def test_gradient_accumulation(pl, memory_logger):
    make_trainer(pl, memory_logger, callbacks(), accumulate_grad_batches=2).fit(make_module(pl))
    twice = memory_logger.series("time/optimizer_steps")[-1]
    assert twice == (4, 4.0)
    assert memory_logger.series("train/index") == [(2, 1.5), (4, 5.5)], "the mean over every batch"
    whole = MemoryLogger()
    torch.manual_seed(0)
    module = make_module(pl)
    torch.manual_seed(0)
    make_trainer(pl, whole, callbacks(metrics=1)).fit(module)
    torch.manual_seed(0)
    accumulated = MemoryLogger()
    module = make_module(pl)
    make_trainer(pl, accumulated, callbacks(metrics=1), accumulate_grad_batches=2).fit(module)
    first, again = whole.series("train/loss")[0][1], accumulated.series("train/loss")[0][1]
    assert again == pytest.approx(first), "as the step returned it, not divided"


def test_mixed_precision(pl, memory_logger):
    make_trainer(pl, memory_logger, callbacks(), precision="bf16-mixed", gradient_clip_val=1e-3).fit(make_module(pl))
    assert steps(memory_logger, "gradients/net.0.weight") == [1, 4, 8]
    before = dict(memory_logger.series("gradient_norm/total"))
    after = dict(memory_logger.series("gradient_norm/clipped"))
    assert all(before[step] > after[step] for step in before)


def test_several_optimizers_with_manual_optimization(pl, memory_logger):
    class Two(pl.LightningModule):
        automatic_optimization = False

        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.critic, self.actor = nn.Linear(4, 1), nn.Linear(4, 1)

        def training_step(self, batch, batch_idx):
            for at, optimizer in enumerate(self.optimizers()):
                if at == 1 and batch_idx % 2:
                    continue
                part = (self.critic, self.actor)[at]
                optimizer.zero_grad()
                self.manual_backward(part(batch).mean())
                optimizer.step()
            return {"critic_loss": torch.tensor(float(batch_idx))}

        def configure_optimizers(self):
            slow = torch.optim.SGD(self.critic.parameters(), lr=0.1)
            return [slow, torch.optim.SGD(self.actor.parameters(), lr=0.2)]

        def train_dataloader(self):
            return DataLoader(torch.ones(16, 4), batch_size=2)

    make_trainer(pl, memory_logger, callbacks()).fit(Two())
    assert memory_logger.series("train/critic_loss") == [(2, 0.5), (4, 2.5), (6, 4.5), (8, 6.5)]
    assert steps(memory_logger, "gradients/critic.weight") == [1, 4, 8]
    assert steps(memory_logger, "gradients/actor.weight") == [1, 5]  # it steps at every second batch
    assert memory_logger.series("train/learning_rate")[0][1] == 0.1
    assert memory_logger.series("train/learning_rate/1")[0][1] == 0.2


@pytest.mark.parametrize("whole", [True, False])
def test_compiled_modules(pl, memory_logger, whole):
    module = make_module(pl, compiled=not whole)
    fitted = torch.compile(module, backend="eager") if whole else module
    make_trainer(pl, memory_logger, callbacks()).fit(fitted)
    assert steps(memory_logger, "weights/net.0.weight") == [1, 4, 8]
    assert not [tag for tag in memory_logger.tags if "_orig_mod" in tag]


def test_max_steps(pl, memory_logger):
    make_trainer(pl, memory_logger, callbacks(), max_epochs=-1, max_steps=5).fit(make_module(pl))
    assert memory_logger.series("train/index") == [(2, 0.5), (4, 2.5), (5, 4.0)]


def test_validation_loops_and_sanity_checks(pl, memory_logger):
    options = {"num_sanity_val_steps": 2, "limit_val_batches": 2, "val_check_interval": 2}
    make_trainer(pl, memory_logger, callbacks(metrics=1), **options).fit(make_module(pl))
    assert memory_logger.series("train/index") == [(step, step - 1.0) for step in range(1, 9)]
    no_step_twice(memory_logger)


@pytest.mark.parametrize("options", [{"fast_dev_run": 3}, {"logger": False}, {"logger": []}], ids=str)
def test_runs_without_loggers(pl, memory_logger, options):
    trainer = make_trainer(pl, **{"logger": memory_logger, **options}, callbacks=callbacks())
    trainer.fit(make_module(pl))
    assert memory_logger.tags == []


def test_barebones(pl):
    recorder, *rest = callbacks()
    options = {"max_epochs": 1, "limit_val_batches": 0, "barebones": True}
    trainer = pl.Trainer(accelerator="cpu", callbacks=[recorder, *rest], **options)
    trainer.fit(make_module(pl))
    assert recorder.counters.optimizer_steps == 8


def test_several_loggers_get_the_same(pl):
    loggers = [MemoryLogger(), MemoryLogger()]
    make_trainer(pl, loggers, callbacks()).fit(make_module(pl, rollouts=True))
    assert loggers[0].tags == loggers[1].tags
    assert loggers[0].series("train/reward") == loggers[1].series("train/reward")


def test_fit_called_twice_goes_on(pl, memory_logger):
    module = make_module(pl)
    trainer = make_trainer(pl, memory_logger, callbacks())
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert memory_logger.series("train/index") == [(step, (step - 1) % 8 - 0.5) for step in range(2, 17, 2)]
    no_step_twice(memory_logger)


def test_test_and_predict_alone_log_nothing_of_ours(pl, memory_logger):
    recorder, *rest = callbacks()
    trainer = make_trainer(pl, memory_logger, [recorder, *rest])
    module = make_module(pl)
    trainer.test(module, verbose=False)
    trainer.validate(module, verbose=False)
    trainer.predict(module)
    assert not [tag for tag in memory_logger.tags if not tag.startswith(("val_loss", "epoch"))]
    assert not recorder.is_open
    trainer.fit(module)
    trainer.test(module, verbose=False)
    no_step_twice(memory_logger)
    assert steps(memory_logger, "train/index") == [2, 4, 6, 8]


@pytest.mark.parametrize("first", [True, False], ids=["finder first", "finder last"])
def test_the_learning_rate_finder_leaves_no_trace(pl, memory_logger, tmp_path, first):
    find = finder(pl, "LearningRateFinder")(num_training_steps=5)
    ours = callbacks()
    listed = [find, *ours] if first else [*ours, find]
    trainer = make_trainer(pl, memory_logger, listed, default_root_dir=tmp_path)
    trainer.fit(make_module(pl, batches=16, rollouts=True))
    counted = memory_logger.series("time/optimizer_steps")
    assert counted[-1][1] == 16.0, "the steps of the search were taken back, and do not count"
    indices = memory_logger.series("train/index")
    assert [value for _, value in indices] == [step - 0.5 for step in range(1, 16, 2)]
    no_step_twice(memory_logger)


@pytest.mark.parametrize("first", [True, False], ids=["finder first", "finder last"])
def test_the_batch_size_finder_leaves_no_trace(pl, memory_logger, tmp_path, first):
    find = finder(pl, "BatchSizeFinder")(steps_per_trial=2, max_trials=2, init_val=2)
    ours = callbacks()
    listed = [find, *ours] if first else [*ours, find]
    trainer = make_trainer(pl, memory_logger, listed, default_root_dir=tmp_path)
    module = make_module(pl, batches=16)
    trainer.fit(module)
    batches = 32 // module.batch_size
    assert memory_logger.series("time/optimizer_steps")[-1][1] == batches
    indices = memory_logger.series("train/index")
    assert [value for _, value in indices] == [step - 0.5 for step in range(1, batches, 2)]
    no_step_twice(memory_logger)


def test_a_rollout_alone_settles_the_axis(pl, memory_logger):
    module = make_module(pl, rollouts=True)
    make_trainer(pl, memory_logger, [RolloutCallback()]).fit(module)
    assert steps(memory_logger, "train/reward") == [16 * step for step in range(1, 9)]


def test_the_reference_module_trains_the_same_with_the_default_callbacks(quiet_trainer, memory_logger):
    settings = {"total_timesteps": 512, "num_envs": 4, "num_steps": 32, "batch_size": 64, "update_epochs": 2}
    weights = []
    for callbacks in ([], default_callbacks(metrics=1, histograms=1, gradients=1)):
        torch.manual_seed(1)
        module = PPO("CartPole", seed=1, **settings)
        quiet_trainer(max_epochs=-1, callbacks=callbacks, logger=memory_logger if callbacks else False).fit(module)
        weights.append(list(module.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
