from time import perf_counter

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import MixedPrecision

from puffer_callbacks import (
    HistogramCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    RolloutCallback,
    default_callbacks,
    log,
)
from tests.support.models import Agent, Supervised, TwoOptimizers, losses
from tests.support.warned import warned


def fit(quiet_trainer, logger, *callbacks, module=None, **arguments):
    trainer = quiet_trainer(logger=logger, callbacks=list(callbacks), **arguments)
    trainer.fit(module or Agent(losses(*range(12))))
    return trainer


def recorders(trainer):
    return [callback for callback in trainer.callbacks if isinstance(callback, Recorder)]


@pytest.mark.parametrize("callback", [MetricsCallback, RolloutCallback, HistogramCallback, PufferCallback])
def test_it_creates_itself_beside_any_callback_alone(quiet_trainer, memory_logger, callback):
    assert len(recorders(fit(quiet_trainer, memory_logger, callback()))) == 1


def test_one_that_is_listed_is_the_one(quiet_trainer, memory_logger):
    mine = Recorder("optimizer_steps")
    trainer = fit(quiet_trainer, memory_logger, *default_callbacks(metrics=4), mine)
    assert recorders(trainer) == [mine]
    assert [step for step, _ in memory_logger.series("train/loss")] == [4, 8, 12]


@pytest.mark.parametrize("first", [True, False])
def test_it_stands_behind_the_others_and_before_checkpoints(quiet_trainer, memory_logger, first):
    mine, metrics, checkpoint = Recorder(), MetricsCallback(), ModelCheckpoint(save_top_k=0)
    order = [mine, metrics, checkpoint] if first else [checkpoint, metrics, mine]
    trainer = quiet_trainer(logger=memory_logger, callbacks=order, enable_checkpointing=True)
    trainer.fit(Supervised(losses(1.0, 2.0)))
    kinds = [type(callback) for callback in trainer.callbacks]
    assert kinds.index(MetricsCallback) < kinds.index(Recorder) < kinds.index(ModelCheckpoint)


def test_what_callbacks_behind_it_log_last_is_recorded(quiet_trainer, memory_logger):
    class Last(PufferCallback):
        def on_train_end(self, trainer, pl_module):
            log(trainer, {"last/word": 1.0})

        def on_fit_end(self, trainer, pl_module):
            log(trainer, {"very/last": 1.0})

    fit(quiet_trainer, memory_logger, Recorder(), Last())
    assert memory_logger.series("last/word") == memory_logger.series("very/last") == [(48, 1.0)]


def test_two_are_one_too_many(quiet_trainer):
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `Recorder`"):
        fit(quiet_trainer, False, Recorder(), Recorder())
    trainer = quiet_trainer()
    trainer.callbacks = [Recorder(), Recorder()]
    with pytest.raises(ValueError, match=r"expected one Recorder in callbacks=\[…\], got two"):
        trainer.fit(Supervised(losses(1.0)))


@pytest.mark.parametrize("x_axis", ["steps", "wall_time", None, 1])
def test_an_unknown_axis_is_refused(x_axis):
    with pytest.raises(ValueError, match="x_axis: expected 'auto', 'env_steps' or 'optimizer_steps', got"):
        Recorder(x_axis)


@pytest.mark.parametrize("budget", [0, -0.1, 1.5, float("nan"), True])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ValueError, match=r"overhead_budget: expected a share in \(0, 1\]"):
        Recorder(overhead_budget=budget)


def test_a_budget_of_another_type_is_refused():
    with pytest.raises((TypeError, ValueError), match="overhead_budget: expected"):
        Recorder(overhead_budget="1 %")


@pytest.mark.parametrize(
    ("x_axis", "module", "steps"),
    [
        ("auto", lambda: Agent(losses(*range(12))), [16, 32, 48]),
        ("env_steps", lambda: Agent(losses(*range(12))), [16, 32, 48]),
        ("optimizer_steps", lambda: Agent(losses(*range(12))), [4, 8, 12]),
        ("auto", lambda: Supervised(losses(*range(12))), [4, 8, 12]),
        ("optimizer_steps", lambda: Supervised(losses(*range(12))), [4, 8, 12]),
        ("auto", lambda: TwoOptimizers(batches=12), [4, 8, 12]),
    ],
)
def test_steps_are_on_the_chosen_axis(quiet_trainer, memory_logger, x_axis, module, steps):
    fit(quiet_trainer, memory_logger, Recorder(x_axis), MetricsCallback(4), module=module())
    assert [step for step, _ in memory_logger.series("train/loss")] == steps


def test_every_row_carries_every_axis_and_the_cost(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, *default_callbacks(metrics=1, histograms=2))
    rows = [step for step, _ in memory_logger.series("time/elapsed")]
    for tag in ("time/env_steps", "time/optimizer_steps", "logging/overhead_pct"):
        assert [step for step, _ in memory_logger.series(tag)] == rows == [16, 32, 48]
    assert memory_logger.series("time/env_steps") == [(step, float(step)) for step in rows]
    assert [value for _, value in memory_logger.series("time/optimizer_steps")] == [4.0, 8.0, 12.0]
    assert all(0 <= value < 1e6 for _, value in memory_logger.series("logging/overhead_pct"))


def test_no_series_has_two_points_at_one_step(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, *default_callbacks(metrics=1, histograms=3))
    for tag in set(memory_logger.tags) - {"hyperparameters"}:
        steps = [step for step, _ in memory_logger.series(tag)]
        assert steps == sorted(set(steps)), tag


class Fails(Logger):
    """A logger whose backend is broken."""

    name, version = "fails", 0

    def __init__(self, *, until=10**9):
        super().__init__()
        self.calls = 0
        self.until = until
        self.kept = []

    def log_metrics(self, metrics, step=None):
        self.calls += 1
        if self.calls <= self.until:
            raise OSError(28, "No space left on device")
        self.kept.append(step)

    def log_hyperparams(self, *_, **__):
        raise OSError(28, "No space left on device")


def test_a_failing_writer_is_reported_once_and_the_others_lose_nothing(quiet_trainer):
    healthy, alone = MemoryLogger(), MemoryLogger()
    with warned() as reported:
        fit(quiet_trainer, [Fails(), healthy], *default_callbacks(metrics=2, histograms=4))
    assert [w for w in reported if "No space left on device" in w] == [reported[0]]
    assert reported[0].startswith("Fails: ")
    fit(quiet_trainer, alone, *default_callbacks(metrics=2, histograms=4))
    assert healthy.tags == alone.tags
    for tag in healthy.tags:
        assert [step for step, _ in healthy.series(tag)] == [step for step, _ in alone.series(tag)]


def test_a_backend_that_comes_back_is_used_again(quiet_trainer):
    broken = Fails(until=1)
    with warned():
        fit(quiet_trainer, broken, MetricsCallback(4))
    assert broken.kept == [16, 32, 48]


def test_strict_raises_what_a_writer_raises(quiet_trainer):
    with pytest.raises(OSError, match="No space left on device"), warned():
        fit(quiet_trainer, Fails(), Recorder(strict=True), MetricsCallback(1))


def test_a_training_run_is_not_changed_by_being_recorded(quiet_trainer, memory_logger):
    def trained(callbacks, logger):
        torch.manual_seed(7)
        model = Learner()
        quiet_trainer(logger=logger, callbacks=callbacks, max_epochs=3).fit(model)
        return torch.cat([parameter.flatten() for parameter in model.parameters()]), torch.rand(3)

    bare, recorded = trained([], False), trained(default_callbacks(metrics=1, histograms=1), memory_logger)
    assert torch.equal(bare[0], recorded[0])
    assert torch.equal(bare[1], recorded[1])


class Learner(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(), torch.nn.Linear(8, 1))

    def training_step(self, batch, batch_idx):
        return {"loss": self.net(torch.randn(16, 4)).square().mean()}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

    def train_dataloader(self):
        return range(10)


def test_without_loggers_everything_runs(quiet_trainer):
    trainer = fit(quiet_trainer, False, *default_callbacks(metrics=1, histograms=1))
    assert trainer.global_step == 12


def test_fast_dev_run_logs_nothing(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, *default_callbacks(metrics=1, histograms=1), fast_dev_run=True)
    assert memory_logger.tags == []


def test_two_loggers_are_given_the_same(quiet_trainer):
    one, two = MemoryLogger(), MemoryLogger()
    fit(quiet_trainer, [one, two], *default_callbacks(metrics=2, histograms=4))
    assert one.tags == two.tags
    for tag in one.tags:
        assert repr(one.series(tag)) == repr(two.series(tag))


def test_fit_twice_with_one_trainer_goes_on(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=2, histograms=2))
    module = Agent(losses(*range(16)))
    module.train_dataloader = lambda: range(8)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    for tag in ("train/loss", "time/env_steps", "weights/layer.weight", "rollout/return_mean"):
        assert [step for step, _ in memory_logger.series(tag)] == [16, 32, 48, 64], tag
    assert [value for _, value in memory_logger.series("time/optimizer_steps")] == [4, 8, 12, 16]
    assert len(recorders(trainer)) == 1


def test_what_a_module_logs_last_stands_in_the_last_row(quiet_trainer, memory_logger):
    """Lightning calls its ``on_fit_end`` after those of callbacks; no point of a second fit makes room for it."""

    class Ends(Agent):
        def on_fit_end(self):
            log(self, {"own/steps": float(self.step)})

    trainer = quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=2))
    module = Ends(losses(*range(16)))
    module.train_dataloader = lambda: range(8)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert memory_logger.series("own/steps") == [(32, 8.0), (64, 16.0)]
    assert [step for step, _ in memory_logger.series("time/env_steps")] == [16, 32, 48, 64]
    assert trainer.callback_metrics["own/steps"] == 16.0


def test_a_second_fit_begins_at_our_count_where_no_step_of_the_first_was_taken(quiet_trainer, memory_logger):
    """Lightning counts the steps that a gradient scaler skips, too."""
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, backoff_factor=0.99)
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(1)], plugins=[plugin])

    class Learns(Supervised):
        def anchor(self):
            return self.layer(torch.ones(1, 3)).sum()

    module = Learns(losses(*range(8)))
    module.train_dataloader = lambda: range(4)
    trainer.fit(module)
    assert trainer.global_step == 4
    scaler.load_state_dict({**scaler.state_dict(), "scale": 1.0})
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    assert [value for _, value in memory_logger.series("time/optimizer_steps")][-4:] == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("evaluate", [["test"], ["validate"], ["test", "validate", "test"]])
def test_what_is_logged_between_two_fits_stands_at_points_of_its_own(quiet_trainer, memory_logger, evaluate):
    """The count stands still there, and a point of the x axis is one row."""

    class Tested(Agent):
        def test_step(self, batch, batch_idx):
            log(self, {"own/test": 10.0 * self.step + batch_idx})

        validation_step = test_step

        def test_dataloader(self):
            return range(2)

        val_dataloader = test_dataloader

    trainer = quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=2), limit_val_batches=0)
    module = Tested(losses(*range(16)))
    module.train_dataloader = lambda: range(8)
    trainer.fit(module)
    trainer.limit_val_batches = 2
    for name in evaluate:
        getattr(trainer, name)(module, verbose=False)
    trainer.limit_val_batches = 0
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    between = [33 + at for at in range(len(evaluate))]
    assert memory_logger.series("own/test") == [(step, 80.5) for step in between]
    for tag in ("time/env_steps", "time/elapsed", "time/optimizer_steps", "logging/overhead_pct"):
        assert [step for step, _ in memory_logger.series(tag)] == [16, 32, *between, 48, 64], tag
    assert [step for step, _ in memory_logger.series("train/loss")] == [16, 32, 48, 64]
    assert [step for step, _ in memory_logger.series("throughput/sps")] == [16, 32, 48, 64]  # no step was made there


@pytest.mark.parametrize("listed", [True, False])
def test_callbacks_used_again_with_a_new_trainer_begin_anew(quiet_trainer, listed):
    callbacks = [*default_callbacks(metrics=2, histograms=4), *([Recorder()] if listed else [])]
    runs = []
    for _ in range(2):
        logger = MemoryLogger()
        trainer = quiet_trainer(logger=logger, callbacks=list(callbacks))
        trainer.fit(Supervised(losses(*range(7))))
        runs.append({tag: [step for step, _ in logger.series(tag)] for tag in logger.tags})
    assert runs[0] == runs[1]
    assert runs[0]["train/loss"] == [2, 4, 6, 7]


def test_validating_and_testing_alone_log_nothing_of_ours(quiet_trainer, memory_logger):
    class Tested(Supervised):
        def test_step(self, batch, batch_idx):
            self.log("own", 1.0, batch_size=1)

        validation_step = test_step

        def test_dataloader(self):
            return range(2)

        val_dataloader = test_dataloader

    trainer = quiet_trainer(logger=memory_logger, callbacks=default_callbacks())
    trainer.validate(Tested(losses(1.0)), verbose=False)
    trainer.test(Tested(losses(1.0)), verbose=False)
    assert set(memory_logger.tags) <= {"own", "epoch"}


def test_an_exception_flushes_and_names_itself(quiet_trainer, memory_logger):
    class Diverges(Agent):
        def training_step(self, batch, batch_idx):
            if self.step == 9:
                raise FloatingPointError("diverged")
            return super().training_step(batch, batch_idx)

    with pytest.raises(FloatingPointError, match="diverged"):
        fit(quiet_trainer, memory_logger, MetricsCallback(4), module=Diverges(losses(*range(12))))
    assert memory_logger.series("train/loss") == [(16, 1.5), (32, 5.5), (48, 8.0)]
    assert "FloatingPointError: diverged" in memory_logger.text


def ten_batches_an_epoch():
    module = Supervised(losses(*range(40)))
    module.train_dataloader = lambda: range(10)
    return module


def test_a_checkpoint_continues_every_series(quiet_trainer, tmp_path):
    class Save(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "last.ckpt")

    def run(*callbacks, epochs=2, resume=False):
        logger, module = MemoryLogger(), ten_batches_an_epoch()
        module.step = 10 if resume else 0
        callbacks = [*default_callbacks(metrics=3, histograms=5), *callbacks]
        checkpoint = {"ckpt_path": tmp_path / "last.ckpt", "weights_only": False} if resume else {}
        quiet_trainer(logger=logger, callbacks=callbacks, max_epochs=epochs).fit(module, **checkpoint)
        return logger

    run(Save(), epochs=1)
    resumed, whole = run(resume=True), run()
    for tag, rows_before in (("train/loss", 9), ("weights/layer.weight", 9), ("time/optimizer_steps", 9)):
        after = [step for step, _ in whole.series(tag) if step > rows_before]
        assert [step for step, _ in resumed.series(tag)] == after, tag
    assert resumed.series("train/loss") == [point for point in whole.series("train/loss") if point[0] > 9]


def test_a_checkpoint_saved_after_the_fit_continues_the_axes(quiet_trainer, memory_logger, tmp_path):
    module = ten_batches_an_epoch()
    trainer = quiet_trainer(callbacks=default_callbacks(metrics=5))
    trainer.fit(module)
    trainer.save_checkpoint(tmp_path / "final.ckpt")
    again = quiet_trainer(logger=memory_logger, callbacks=default_callbacks(metrics=5), max_epochs=2)
    again.fit(module, ckpt_path=tmp_path / "final.ckpt", weights_only=False)
    assert [step for step, _ in memory_logger.series("train/loss")] == [15, 20]


def test_seconds_of_training_begin_at_0(quiet_trainer, memory_logger):
    began = perf_counter()
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(2)]).fit(Supervised(losses(*range(4))))
    seconds = [value for _, value in memory_logger.series("time/elapsed")]
    assert len(seconds) == 2
    assert 0 < seconds[0] < seconds[1] < perf_counter() - began


def test_what_is_logged_before_training_stands_at_the_module_s_environment_steps(quiet_trainer, memory_logger):
    class Early(PufferCallback):
        def on_fit_start(self, trainer, pl_module):
            log(trainer, {"early": 1.0})

    module = Agent(losses(*range(4)))
    module.env_steps = 640
    quiet_trainer(logger=memory_logger, callbacks=[Early()]).fit(module)
    assert memory_logger.series("early") == [(640, 1.0)]
