"""Steps at which nothing is due cost one list and two comparisons; what is recorded does not depend on it."""

import copy
import math
import pickle
import sys

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from puffer_callbacks import (
    GradientCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    RolloutCallback,
    emit,
    log,
)
from puffer_callbacks.adapters import Loop
from puffer_callbacks.recorder.training_steps import TrainingSteps
from tests.support.models import Agent, Supervised, losses

VALUES = np.random.default_rng(0).normal(5.0, 2.0, 64)
SCRIPT = [{"loss": float(value), "kl": torch.tensor(value)} for value in VALUES]
ODD = [step | ({"kl": math.nan} if at % 7 == 0 else {"late": at} if at > 40 else {}) for at, step in enumerate(SCRIPT)]


class Warmed(Supervised):
    """With another learning rate at each step."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


@pytest.fixture
def calls(monkeypatch):
    """The steps at which the recorder called its listeners."""
    steps, call = [], TrainingSteps._call_listeners
    monkeypatch.setattr(TrainingSteps, "_call_listeners", lambda self, *args: (steps.append(1), call(self, *args))[1])
    return steps


def test_only_steps_at_which_something_is_due_call_the_callbacks(quiet_trainer, memory_logger, calls):
    callbacks = [MetricsCallback(16), GradientCallback(32)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Supervised(SCRIPT))
    assert len(calls) <= 2 + 2 * 64 // 16
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]


def test_a_rollout_makes_one_step_due(quiet_trainer, memory_logger, calls):
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(64), RolloutCallback()]).fit(
        Agent(SCRIPT, updates=16)
    )
    assert len(calls) <= 2 + 2 * 64 // 16
    assert [step for step, _ in memory_logger.series("train/reward")] == [16, 32, 48, 64]


@pytest.mark.parametrize("intervals", [(1,), (3, 5), (7, 7)])
def test_intervals_end_where_they_should_between_calls(quiet_trainer, memory_logger, calls, intervals):
    class Renamed(MetricsCallback):
        """With tags of its own."""

        def _record(self, recorder, totals):
            total, count, _ = totals[0]["kl"]
            recorder.record({f"every_{self.every_n_steps}/kl": total / count})

    callbacks = [MetricsCallback(intervals[0]), *map(Renamed, intervals[1:])]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Supervised(SCRIPT))
    assert len(calls) <= 2 + 2 * sum(64 // n for n in intervals)
    for tag, n in zip(["train/kl", *(f"every_{n}/kl" for n in intervals[1:])], intervals, strict=True):
        ends = [*range(n, 65, n), 64] if 64 % n else [*range(n, 65, n)]
        means = [VALUES[start:end].mean() for start, end in zip([0, *ends[:-1]], ends, strict=True)]
        np.testing.assert_allclose(memory_logger.series(tag), list(zip(ends, means, strict=True)), err_msg=tag)


def test_a_callback_used_in_a_longer_run_before_keeps_its_interval(quiet_trainer):
    metrics, found = MetricsCallback(16), []
    for steps in (64, 40):
        logger = MemoryLogger()
        quiet_trainer(logger=logger, callbacks=[metrics]).fit(Supervised(SCRIPT[:steps]))
        found.append([step for step, _ in logger.series("train/kl")])
    assert found == [[16, 32, 48, 64], [16, 32, 40]]


def test_a_step_without_scalars_ends_no_later_interval(memory_logger):
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, [MetricsCallback(16)]) as loop:
        loop.fit_start(module)
        for at, value in enumerate(VALUES):
            optimizer.step()
            loop.step(None if at == 20 else {"kl": float(value)})
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]


def test_an_interval_that_fails_leaves_others_whole(quiet_trainer, memory_logger):
    class Fails(MetricsCallback):
        def _record(self, recorder, sums):
            raise OSError("nothing there")

    callbacks = [Fails(10), MetricsCallback(16)]
    with pytest.warns(UserWarning, match="nothing there"):
        quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Supervised(SCRIPT))
    assert [step for step, _ in memory_logger.series("train/kl")][:3] == [16, 32, 48]


def test_a_step_that_one_callback_cannot_read_the_others_have(quiet_trainer, memory_logger):
    class Fails(MetricsCallback):
        def update(self, outputs, learning_rates, *, loss_scale=1):
            raise OSError("nothing there")

    callbacks = [Fails(10), MetricsCallback(16)]
    with pytest.warns(UserWarning, match="nothing there"):
        quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Supervised(SCRIPT))
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]


def test_a_callback_may_have_methods_of_other_names(quiet_trainer, memory_logger):
    class Updates(GradientCallback):
        def update(self, leader):
            raise AssertionError

    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16), Updates(16)]).fit(Supervised(SCRIPT))
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]
    assert [step for step, _ in memory_logger.series("gradient_norm/total")] == [16, 32, 48, 64]


def test_a_hook_that_is_called_by_hand_adds_no_step(quiet_trainer, memory_logger):
    class Calls(Supervised):
        def training_step(self, batch, batch_idx):
            emit(self, "on_step", {"kl": 1e9})
            return super().training_step(batch, batch_idx)

    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16)]).fit(Calls(SCRIPT))
    assert memory_logger.series("train/kl")[0][1] == pytest.approx(VALUES[:16].mean())


def test_what_is_logged_between_firings_is_there(quiet_trainer, memory_logger):
    class Logs(Supervised):
        def training_step(self, batch, batch_idx):
            if batch_idx in (20, 21):
                log(self, {"own": float(batch_idx)})
            return super().training_step(batch, batch_idx)

    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16)]).fit(Logs(SCRIPT))
    assert memory_logger.series("own") == [(20, 20.0), (21, 21.0)]
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]


def test_a_row_is_written_though_no_other_follows(quiet_trainer, memory_logger):
    written = []

    class Looks(Supervised):
        def training_step(self, batch, batch_idx):
            written.append(len(memory_logger.series("train/kl")) if "train/kl" in memory_logger.tags else 0)
            return super().training_step(batch, batch_idx)

    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16)]).fit(Looks(SCRIPT))
    assert written == [0] * 17 + [1] * 16 + [2] * 16 + [3] * 15


def test_a_schedule_that_was_brought_forward_is_seen_where_a_row_is_written(quiet_trainer):
    calls, due_at = [], [sys.maxsize]

    class Scheduled(PufferCallback):
        next_step = property(lambda self: due_at[0])

        def on_step(self, trainer, pl_module, metrics):
            calls.append(trainer.global_step)
            due_at[0] = sys.maxsize

    class BringsForward(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if batch_idx == 9:
                due_at[0] = 0
                Recorder.of(trainer).run.record({"own": 1.0}, monitored=False)  # as a row of Lightning's own

    quiet_trainer(callbacks=[Scheduled(), BringsForward()]).fit(Supervised(SCRIPT))
    assert calls == [11]


def test_a_callback_without_a_schedule_is_called_at_every_step(quiet_trainer, calls):
    class Counts(PufferCallback):
        steps, losses = 0, 0.0

        def on_step(self, trainer, pl_module, metrics):
            self.steps += 1
            self.losses += float(metrics["loss"])

    counts = Counts()
    quiet_trainer(callbacks=[MetricsCallback(16), counts]).fit(Supervised(SCRIPT))
    assert counts.steps == 64
    assert counts.losses == pytest.approx(VALUES.sum(), rel=1e-6)
    assert len(calls) <= 2 + 2 * 64 // 16  # the others are still called where they are due


def test_a_recorder_of_one_s_own_gets_every_step(quiet_trainer):
    class Mine(Recorder):
        steps = 0

        def on_train_batch_end(self, *args):
            self.steps += 1
            super().on_train_batch_end(*args)

    mine = Mine()
    quiet_trainer(callbacks=[MetricsCallback(16), mine]).fit(Supervised(SCRIPT))
    assert mine.steps == 64


def test_accumulated_batches_are_no_steps_of_their_own(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(4)], accumulate_grad_batches=4)
    trainer.fit(Supervised([{"loss": float(at)} for at in range(64)]))
    assert memory_logger.series("train/loss") == [(4, 7.5), (8, 23.5), (12, 39.5), (16, 55.5)]


def test_a_loop_calls_them_where_they_are_due_too(memory_logger, calls):
    module = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, [MetricsCallback(16)]) as loop:
        loop.fit_start(module)
        for value in VALUES:
            optimizer.step()
            loop.step({"kl": float(value)})
    assert len(calls) <= 2 + 2 * 64 // 16
    assert [step for step, _ in memory_logger.series("train/kl")] == [16, 32, 48, 64]
    np.testing.assert_allclose([value for _, value in memory_logger.series("train/kl")], VALUES.reshape(4, 16).mean(1))


def test_a_batch_counts_whole_where_a_module_turns_to_manual_optimization(quiet_trainer, memory_logger):
    class Turns(Supervised):
        def on_train_batch_start(self, batch, batch_idx):
            self.automatic_optimization = batch_idx < 32

        def training_step(self, batch, batch_idx):
            outputs = super().training_step(batch, batch_idx)
            if not self.automatic_optimization:
                self.optimizers().step()
            return outputs

    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(8)], accumulate_grad_batches=4)
    trainer.fit(Turns([{"loss": 1.0}] * 64))
    assert {value for _, value in memory_logger.series("train/loss")} == {1.0}


def test_numbers_of_lightning_s_that_are_no_integers_are_fine(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(8)], accumulate_grad_batches=2.0)
    trainer.fit(Supervised(SCRIPT))
    assert [step for step, _ in memory_logger.series("train/kl")] == [8, 16, 24, 32]


def test_a_subclass_that_overrides_update_reads_every_step(quiet_trainer, memory_logger):
    class Mine(MetricsCallback):
        updates = 0

        def update(self, outputs, learning_rates, *, loss_scale=1):
            self.updates += 1
            super().update({"kl": outputs["kl"]}, learning_rates, loss_scale=loss_scale)

    mine = Mine(16)
    quiet_trainer(logger=memory_logger, callbacks=[mine]).fit(Supervised(SCRIPT))
    assert mine.updates == 64
    assert "train/loss" not in memory_logger.tags


def test_a_strict_recorder_raises_what_reading_a_step_raises(quiet_trainer):
    class Broken(dict):
        def items(self):
            raise OSError("nothing there")

    script = [{"loss": 1.0, "more": Broken()}]
    with pytest.raises(OSError, match="nothing there"):
        quiet_trainer(callbacks=[MetricsCallback(16), Recorder(strict=True)]).fit(Supervised(script))


def test_a_callback_may_be_copied_in_the_middle_of_a_run(quiet_trainer, memory_logger):
    copies = []

    class Copies(Supervised):
        def training_step(self, batch, batch_idx):
            if batch_idx == 24:
                copies.append(copy.deepcopy(self.trainer.callbacks[0]))
            return super().training_step(batch, batch_idx)

    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16)]).fit(Copies(SCRIPT))
    assert memory_logger.series("train/kl")[1][1] == pytest.approx(VALUES[16:32].mean())
    assert copies[0].state_dict()["means"]["returned"]["kl"] == [pytest.approx(VALUES[16:24].sum()), 8, 0]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda callbacks: pickle.loads(pickle.dumps(callbacks))])
def test_callbacks_and_recorder_may_be_copied_after_a_run(quiet_trainer, copied):
    trainer = quiet_trainer(callbacks=[MetricsCallback(16)])
    trainer.fit(Supervised(SCRIPT))
    assert [type(callback) for callback in copied(trainer.callbacks)] == [type(c) for c in trainer.callbacks]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda callbacks: pickle.loads(pickle.dumps(callbacks))])
def test_a_copied_recorder_begins_a_run_of_its_own_as_it_was_configured(quiet_trainer, copied):
    first, second = MemoryLogger(), MemoryLogger()
    callbacks = [MetricsCallback(16), Recorder("optimizer_steps", overhead_budget=0.5, strict=True)]
    quiet_trainer(logger=first, callbacks=callbacks).fit(Agent(losses(*range(32))))
    metrics, recorder = copied(callbacks)
    quiet_trainer(logger=second, callbacks=[metrics, recorder]).fit(Agent(losses(*range(32))))
    assert second.series("train/loss") == first.series("train/loss") == [(16, 7.5), (32, 23.5)]
    assert (recorder.x_axis, recorder.overhead_budget, recorder.faults.strict) == ("optimizer_steps", 0.5, True)


def test_names_that_are_others_at_each_step_are_not_kept(quiet_trainer, memory_logger):
    metrics = MetricsCallback(400)
    script = [{"loss": 1.0, f"loss_{at}": float(at)} for at in range(400)]
    quiet_trainer(logger=memory_logger, callbacks=[metrics]).fit(Supervised(script))
    assert len(metrics._sums._returned._rows) <= 64
    assert memory_logger.series("train/loss_7") == [(400, 7.0)]
    assert memory_logger.series("train/loss") == [(400, 1.0)]


def test_a_hook_that_a_user_put_on_the_recorder_stays(quiet_trainer):
    recorder, called = Recorder(), []
    method = recorder.on_train_batch_end

    def mine(*args):
        called.append(args)
        method(*args)

    recorder.on_train_batch_end = mine
    quiet_trainer(callbacks=[MetricsCallback(16), recorder]).fit(Supervised(SCRIPT))
    assert len(called) == 64
    assert recorder.on_train_batch_end is mine


def test_rows_reach_a_logger_in_order_where_a_run_fails(quiet_trainer, memory_logger):
    class Fails(Supervised):
        def training_step(self, batch, batch_idx):
            if batch_idx == 20:
                log(self, {"own": 1.0})
            if batch_idx == 30:
                raise OSError("no space left")
            return super().training_step(batch, batch_idx)

    written, keep = [], memory_logger.log_values
    memory_logger.log_values = lambda values, step: (written.append(step), keep(values, step))[1]
    with pytest.raises(OSError, match="no space left"):
        quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(100)]).fit(Fails(SCRIPT))
    assert written == sorted(written)
    assert memory_logger.series("own") == [(20, 1.0)]


def test_a_row_is_written_before_a_validation_begins_to_last(quiet_trainer, memory_logger):
    there = []

    class Validates(Supervised):
        def validation_step(self, batch, batch_idx):
            there.append([step for step, _ in memory_logger.series("train/kl")])

        def val_dataloader(self):
            return range(1)

    arguments = {"val_check_interval": 20, "num_sanity_val_steps": 0}
    quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(16)], **arguments).fit(Validates(SCRIPT))
    assert there == [[16], [16, 32], [16, 32, 48]]


def test_nothing_is_left_behind_after_a_run(quiet_trainer):
    recorder = Recorder()
    quiet_trainer(callbacks=[MetricsCallback(16), recorder]).fit(Supervised(SCRIPT))
    assert "on_train_batch_end" not in vars(recorder)
