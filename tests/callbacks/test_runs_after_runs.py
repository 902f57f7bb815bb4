"""The same callbacks in one run after another, side by side, copied in mid-run, and in runs that others began."""

import copy
import io
import pickle

import gymnasium
import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn

from puffer_callbacks import (
    AttentionCallback,
    GradientCallback,
    HealthCallback,
    HistogramCallback,
    ImageCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    VideoCallback,
    default_callbacks,
    emit,
    log,
)
from puffer_callbacks.adapters import Loop
from tests.support.models import Agent, Supervised, losses, random_rollout
from tests.support.warned import warned

NAN = float("nan")
EVERY = dict.fromkeys(("images", "attention", "plasticity"), True)


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)] if tag in logger.tags else []


class Rewarding(Agent):
    """A reward of its own at each step, one episode with an undefined return in each rollout, one undefined loss."""

    def __init__(self, reward, *, batches=8):
        make = lambda at, env_steps: random_rollout(  # noqa: E731
            at, env_steps, rewards=torch.full((8, 2), reward), episode_returns=torch.tensor([NAN, reward] * 2 + [NAN])
        )
        script = [{"loss": 0.0, "x": NAN if at == 0 else reward} for at in range(batches)]
        super().__init__(script, updates=2, make=make)


def every_callback():
    pictures = [ImageCallback(2), VideoCallback("CartPole-v1", every_n_rollouts=4, max_steps=3)]
    counted = [MetricsCallback(2), RolloutCallback(), HistogramCallback(3), GradientCallback(2)]
    return [Recorder(overhead_budget=1.0), *counted, *pictures]


def recorded(quiet_trainer, callbacks, reward):
    logger = MemoryLogger()
    with warned() as reported:
        quiet_trainer(logger=logger, callbacks=list(callbacks)).fit(Rewarding(reward))
    times = ("time/elapsed", "throughput/sps", "logging/overhead_pct")
    return {tag: repr(logger.series(tag)) for tag in logger.tags if tag not in times}, reported


def test_a_second_run_shows_nothing_of_the_first(quiet_trainer):
    torch.manual_seed(1)
    reused = every_callback()
    recorded(quiet_trainer, reused, 100.0)
    torch.manual_seed(2)
    second, reported_second = recorded(quiet_trainer, reused, 1.0)
    torch.manual_seed(2)
    fresh, reported_fresh = recorded(quiet_trainer, every_callback(), 1.0)
    assert second == fresh
    assert reported_second == reported_fresh
    assert {"nonfinite/train/x", "nonfinite/rollout/return", "rollout/rewards", "observations"} <= set(second)


class Attends(Supervised):
    """A module whose attention has any width."""

    def __init__(self, width):
        super().__init__(losses(*range(6)))
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x)[0]

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.ones(12, 3, self.attention.embed_dim), batch_size=2)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("first", [lambda: Supervised(losses(*range(6))), lambda: Attends(8)], ids=["none", "narrow"])
def test_another_model_in_the_second_run(quiet_trainer, memory_logger, first):
    callbacks = [AttentionCallback(2)]
    with warned():
        quiet_trainer(callbacks=list(callbacks)).fit(first())
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Attends(16))
    assert steps(memory_logger, "attention/attention") == [2, 4, 6]


def test_a_run_warns_again_of_what_the_run_before_warned_of(quiet_trainer):
    metrics = MetricsCallback(2)
    for _ in range(2):
        with warned() as reported:
            quiet_trainer(callbacks=[metrics]).fit(Silent())
        assert len(reported) == 1 and "expected training_step to return a dict of scalars" in reported[0]


class Silent(Supervised):
    """Manual optimization that returns nothing."""

    def __init__(self):
        super().__init__(losses(0.0, 0.0))
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        self.manual_backward(self.anchor())
        optimizer.step()


def test_a_second_fit_goes_on_counting_what_is_not_finite(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(2), RolloutCallback()])
    module = Rewarding(1.0)
    trainer.fit(module)
    module.step = 0
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert [value for _, value in memory_logger.series("nonfinite/train/x")] == [1.0, 2.0]
    assert [value for _, value in memory_logger.series("nonfinite/rollout/return")] == [3.0 * n for n in range(1, 9)]


@pytest.mark.parametrize("callback", default_callbacks(**EVERY), ids=lambda each: type(each).__name__)
def test_a_second_fit_of_a_trainer_resets_no_callback(quiet_trainer, monkeypatch, callback):
    resets = []
    monkeypatch.setattr(callback, "reset", resets.append)
    trainer = quiet_trainer(callbacks=[callback])
    for max_epochs in (1, 2):
        trainer.fit_loop.max_epochs = max_epochs
        trainer.fit(Six())
    assert resets == [trainer]


def test_a_second_fit_knows_what_the_first_one_was_diagnosed_with(quiet_trainer, memory_logger):
    make = lambda *given: random_rollout(*given, action_space=gymnasium.spaces.Discrete(2))  # noqa: E731
    health, module = HealthCallback(flight_recorder=False), Agent(losses(NAN, 1.0, 1.0, 1.0), updates=2, make=make)
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(1), health])
    trainer.fit(module)
    module.step, module.script = 0, losses(1.0, 1.0, 1.0, 1.0)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert [each.first_step for each in health.findings if each.rule == "nonfinite_values"] == [16]
    assert health._monitor.facts.num_actions == 2
    assert steps(memory_logger, "diagnostics/num_actions") == [16]


def test_rollouts_of_a_second_fit_are_rows_of_their_own(quiet_trainer, memory_logger):
    """The first of it ends where the last row of the first fit stands: it is in the row after it, with the next one."""

    class Returns(Six):
        def training_step(self, batch, batch_idx):
            emit(self, "on_rollout_end", Rollout(episode_returns=torch.tensor([float(self.step)])))
            return super().training_step(batch, batch_idx)

    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(50), RolloutCallback()])
    module = Returns()
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    first, second = [(at, float(at)) for at in range(6)], [(7, 6.5), *((at, float(at)) for at in range(8, 12))]
    assert memory_logger.series("train/reward") == [*first, *second]


@pytest.mark.filterwarnings("ignore:Checkpoint directory", "ignore:.*your dataloader is not resumable")
def test_a_resume_has_the_learning_rate_of_the_step_before(quiet_trainer, tmp_path):
    """Four batches are one step: those between a resume and its first step have the rate that the others had."""

    class Anneals(Supervised):
        def __init__(self):
            super().__init__(losses(*range(24)))

        def train_dataloader(self):
            return range(12)

        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
            return [optimizer], [{"scheduler": schedule, "interval": "step"}]

    def rates(**resume):
        logger, keep = MemoryLogger(), ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        callbacks = [MetricsCallback(2), keep]
        arguments = {"enable_checkpointing": True, "max_epochs": 2, "accumulate_grad_batches": 4}
        quiet_trainer(logger=logger, callbacks=callbacks, **arguments).fit(Anneals(), **resume)
        return logger.series("train/learning_rate")

    whole = rates()
    assert [step for step, _ in whole] == [2, 4, 6]
    for saved in (2, 3, 4, 5):
        resumed = rates(ckpt_path=tmp_path / f"step={saved}.ckpt", weights_only=False)
        assert resumed == [point for point in whole if point[0] >= resumed[0][0]], saved


@pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable")
@pytest.mark.parametrize("used_before", [False, True])
def test_a_resume_near_a_firing_loses_none(quiet_trainer, tmp_path, used_before):
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 5:
                trainer.save_checkpoint(tmp_path / "five.ckpt")

    callbacks, logger = [GradientCallback(3), HistogramCallback(3), MetricsCallback(3)], MemoryLogger()
    quiet_trainer(callbacks=[*callbacks, Save()]).fit(Six())
    resumed = callbacks if used_before else [GradientCallback(3), HistogramCallback(3), MetricsCallback(3)]
    trainer = quiet_trainer(logger=logger, callbacks=list(resumed), max_epochs=2)
    trainer.fit(Six(), ckpt_path=tmp_path / "five.ckpt", weights_only=False)
    firings = [6, 9, 12]
    assert steps(logger, "gradient_norm/total") == firings
    assert steps(logger, "weights/layer.weight") == steps(logger, "gradients/layer.weight") == firings
    assert steps(logger, "train/loss") == firings


class Six(Supervised):
    """Epochs of six batches."""

    def __init__(self):
        super().__init__(losses(*range(12)))

    def train_dataloader(self):
        return range(6)


def test_a_checkpoint_without_our_state_continues_at_its_step(quiet_trainer, memory_logger, tmp_path):
    trainer = quiet_trainer()
    trainer.fit(Six())
    trainer.save_checkpoint(tmp_path / "foreign.ckpt")
    adopted = quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=4, gradients=4), max_epochs=2)
    adopted.fit(Six(), ckpt_path=tmp_path / "foreign.ckpt", weights_only=False)
    assert steps(memory_logger, "train/loss") == [8, 12]
    assert steps(memory_logger, "gradient_norm/total") == [8, 12]
    assert [value for _, value in memory_logger.series("time/optimizer_steps")] == [8.0, 12.0]


def test_two_of_a_kind_keep_their_states_apart(quiet_trainer, tmp_path):
    def both():
        return [HistogramCallback(4, gradients=False), HistogramCallback(2, weights=False)]

    assert len({callback.state_key for callback in both()}) == 2
    trainer, logger = quiet_trainer(callbacks=both()), MemoryLogger()
    trainer.fit(Six())
    trainer.save_checkpoint(tmp_path / "both.ckpt")
    again = quiet_trainer(logger=logger, callbacks=both(), max_epochs=2)
    again.fit(Six(), ckpt_path=tmp_path / "both.ckpt", weights_only=False)
    assert steps(logger, "weights/layer.weight") == [8, 12]
    assert steps(logger, "gradients/layer.weight") == [8, 10, 12]


def test_two_of_a_kind_show_different_parameters(quiet_trainer, memory_logger):
    callbacks = [HistogramCallback(3, include="*.weight"), HistogramCallback(3, exclude="*.weight")]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Six())  # Lightning refuses equal state keys
    assert steps(memory_logger, "weights/layer.weight") == steps(memory_logger, "weights/layer.bias") == [1, 3, 6]


def pickled(given):
    return pickle.loads(pickle.dumps(given))


class Copies(Agent):
    """Copies its trainer, or its trainer's callbacks, in mid-run."""

    def __init__(self, script, *, copied, name="callbacks"):
        super().__init__(script)
        self.copied, self.name = copied, name

    def training_step(self, batch, batch_idx):
        if batch_idx == 5:
            self.copies = self.copied(self.trainer if self.name == "trainer" else self.trainer.callbacks)
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_callbacks_are_copied_in_mid_run_and_train_elsewhere(quiet_trainer, copied):
    first, second = MemoryLogger(), MemoryLogger()
    arguments = {"metrics": 2, "histograms": 4, "images": 2, "videos": {"env_id": "CartPole-v1"}}
    module = Copies(losses(*range(8)), copied=copied)
    quiet_trainer(logger=first, callbacks=default_callbacks(**arguments)).fit(module)
    callbacks = [each for each in module.copies if not isinstance(each, Recorder)]
    assert not any(vars(each).get("on_train_batch_start", each) is None for each in callbacks)  # hidden in the run
    quiet_trainer(logger=second, callbacks=callbacks).fit(Agent(losses(*range(8))))
    assert second.series("train/loss") == first.series("train/loss")
    assert steps(second, "weights/layer.weight") == steps(first, "weights/layer.weight")


def test_a_copy_of_the_callbacks_copies_no_module():
    """Lightning gives each callback the module's ``log``; where it does not, the copy is small."""
    found = []

    class Finds(pickle.Pickler):
        def persistent_id(self, given):
            found.extend([type(given)] if isinstance(given, nn.Module) else [])

    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with Loop(MemoryLogger(), default_callbacks(metrics=2, gradients=2, histograms=4)) as loop:
        loop.fit_start(net)
        for _ in range(4):
            net(torch.ones(2)).sum().backward()
            optimizer.step()
            loop.step({"loss": 1.0})
        for callback in loop.callbacks[:-1]:  # the last is the recorder
            Finds(io.BytesIO()).dump(callback)
    assert found == []


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled])
def test_a_trainer_is_copied_in_mid_run(quiet_trainer, memory_logger, copied):
    module = Copies(losses(*range(8)), copied=copied, name="trainer")
    quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=2)).fit(module)
    assert len([each for each in module.copies.callbacks if isinstance(each, Recorder)]) == 1
    assert steps(memory_logger, "train/loss") == [16, 32]


class Forwards(pl.Callback):
    """Calls another callback's hooks by keyword, as a wrapper of a user's own does."""

    def __init__(self, inner):
        self.inner = inner

    def setup(self, trainer, pl_module, stage):
        self.inner.setup(trainer=trainer, pl_module=pl_module, stage=stage)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.inner.on_train_batch_start(trainer=trainer, pl_module=pl_module, batch=batch, batch_idx=batch_idx)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.inner.on_train_batch_end(trainer, pl_module, outputs=outputs, batch=batch, batch_idx=batch_idx)

    def on_train_end(self, trainer, pl_module):
        self.inner.on_train_end(trainer=trainer, pl_module=pl_module)


@pytest.mark.parametrize("kind", [MetricsCallback, HistogramCallback, GradientCallback, RolloutCallback])
def test_hooks_may_be_forwarded_by_keyword(quiet_trainer, kind):
    trainer = quiet_trainer(callbacks=[Forwards(kind())])
    trainer.fit(Agent(losses(*range(4))))
    assert trainer.global_step == 4


def test_values_of_the_module_s_own_in_validation_and_test_alone(quiet_trainer, memory_logger):
    class Evaluates(Supervised):
        def test_step(self, batch, batch_idx):
            log(self, {f"own/{self.trainer.state.fn.value}": float(batch_idx)})

        validation_step = test_step

        def test_dataloader(self):
            return range(3)

        val_dataloader = test_dataloader

    for callbacks in ([], [MetricsCallback(2)]):
        logger = MemoryLogger()
        trainer = quiet_trainer(logger=logger, callbacks=callbacks)
        trainer.validate(Evaluates(losses(1.0)), verbose=False)
        trainer.test(Evaluates(losses(1.0)), verbose=False)
        assert logger.series("own/validate") == logger.series("own/test") == [(0, 1.0)]


def test_a_module_with_an_attribute_callbacks_is_no_trainer(quiet_trainer, memory_logger):
    class Confusing(Supervised):
        def __init__(self):
            super().__init__(losses(0.0, 0.0))
            self.callbacks = []

        def training_step(self, batch, batch_idx):
            log(self, {"own": 1.0})
            return super().training_step(batch, batch_idx)

    quiet_trainer(logger=memory_logger).fit(Confusing())  # without a callback of ours
    assert memory_logger.series("own") == [(0, 1.0), (1, 1.0)]


@pytest.mark.parametrize("kind", [type(callback) for callback in default_callbacks(**EVERY)])
def test_a_subclass_may_read_the_trainer_where_a_run_begins(quiet_trainer, kind):
    class Own(kind):
        def reset(self, trainer):
            super().reset(trainer)
            self.ranks = trainer.world_size

    callback = Own()
    quiet_trainer(callbacks=[callback], logger=MemoryLogger()).fit(Supervised(losses(1)))
    assert callback.ranks == 1
