"""The overhead budget, from its parts and in a real run."""

import logging

import pytest

from puffer_callbacks import HistogramCallback, ImageCallback, Recorder
from puffer_callbacks.overhead import budget
from puffer_callbacks.overhead.budget import MAX_MULTIPLIER, Budget
from puffer_callbacks.schedule import Every
from tests.support.models import Agent, losses
from tests.support.regression import Regression


@pytest.fixture
def schedules() -> tuple[Budget, Every, Every]:
    cheap, costly = Every(10), Every(100)
    overhead = Budget(0.01)
    overhead.register("cheap", cheap)
    overhead.register("costly", costly)
    return overhead, cheap, costly


def test_the_most_expensive_callback_is_widened_with_one_warning(schedules, caplog):
    overhead, cheap, costly = schedules
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        assert overhead.adjust(0.03, {"cheap": 0.001, "costly": 0.02}) == {"logging/every_n_steps/costly": 200.0}
        assert overhead.adjust(0.02, {"cheap": 0.001, "costly": 0.01}) == {"logging/every_n_steps/costly": 400.0}
    assert (cheap.multiplier, costly.multiplier) == (1, 4)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("recording took 3.0% of the run, above its budget of 1.0%: costly fires every 200 steps")


def test_an_interval_stays_within_the_budget_and_narrows_far_below_it(schedules):
    overhead, _, costly = schedules
    overhead.adjust(0.03, {"costly": 0.02})
    assert overhead.adjust(0.009, {"costly": 0.005}) == {} and costly.multiplier == 2
    assert overhead.adjust(0.001, {"costly": 0.0}) == {"logging/every_n_steps/costly": 100.0}
    assert overhead.adjust(0.001, {"costly": 0.0}) == {} and costly.multiplier == 1


def test_an_interval_is_widened_up_to_a_limit(schedules):
    overhead, _, costly = schedules
    for _ in range(20):
        overhead.adjust(1.0, {"costly": 1.0, "cheap": 0.0})
    assert costly.multiplier == MAX_MULTIPLIER


def test_a_callback_that_costs_little_is_left_alone(schedules, caplog):
    """The rest of recording may be over the budget for long: histograms and diagnoses must not vanish for nothing."""
    overhead, cheap, costly = schedules
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        assert overhead.adjust(0.03, {"cheap": 0.0009, "costly": 0.0011}) == {"logging/every_n_steps/costly": 200.0}
        assert overhead.adjust(0.03, {"cheap": 0.0009, "costly": 0.0006}) == {}
    assert (cheap.multiplier, costly.multiplier) == (1, 2)
    assert caplog.records[-1].getMessage().endswith("above its budget of 1.0%: none of the callbacks takes much of it")


def test_what_writers_take_is_on_the_account_of_the_most_expensive_callback(schedules):
    """A slow writer's time is for what the callbacks log, however little they take themselves."""
    overhead, _, costly = schedules
    assert overhead.adjust(0.2, {"cheap": 1e-6, "costly": 1e-5}, in_threads=0.19) == {
        "logging/every_n_steps/costly": 200.0
    }
    assert overhead.adjust(0.2, {"cheap": 1e-6, "costly": 1e-5}, in_threads=0.005) == {} and costly.multiplier == 2


def test_an_interval_widens_while_a_run_is_over_its_budget(quiet_trainer, memory_logger, monkeypatch):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)  # a window ends wherever the recorder looks
    callbacks = [HistogramCallback(2), Recorder(overhead_budget=1e-9)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Regression(steps=60))
    widened = [(1, 4.0), (4, 8.0), (8, 16.0), (16, 32.0), (32, 64.0)]
    assert memory_logger.series("logging/every_n_steps/HistogramCallback") == widened
    assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [1, 4, 8, 16, 32, 60]
    assert [step for step, _ in memory_logger.series("gradients/net.0.weight")] == [1, 4, 8, 16, 32]


def test_a_window_is_judged_by_what_was_taken_within_it(monkeypatch):
    """Windows of ten seconds; writers' threads count from the window's start too."""
    clock = [100.0]
    monkeypatch.setattr(budget, "perf_counter", lambda: clock[0])
    overhead = Budget(0.1)
    for name in ("z", "b"):
        overhead.register(name, Every(10))

    def check(inside, *, busy=0.0, **costs):
        clock[0] += 10.0
        for name, seconds in costs.items():
            overhead.stopwatch(name).inside = seconds
        return overhead.check(inside, busy=busy)

    overhead.restart()
    assert check(2.0, z=0.5, b=1.5) == {"logging/every_n_steps/b": 20.0}
    assert check(2.5, z=0.3) == {}  # 5 % of this window
    assert check(2.5, busy=1.5, z=1e-4, b=1e-3) == {"logging/every_n_steps/b": 40.0}
    assert check(2.5, busy=1.5) == {"logging/every_n_steps/b": 20.0}  # nothing was taken


def test_two_callbacks_of_one_kind_are_widened_together(quiet_trainer, memory_logger, monkeypatch):
    """What they cost is measured together, so it does not matter which of them is the expensive one."""
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)
    both = [HistogramCallback(2, gradients=False, include="*.weight"), HistogramCallback(3, weights=False)]
    quiet_trainer(logger=memory_logger, callbacks=[*both, Recorder(overhead_budget=1e-9)]).fit(Regression(steps=12))
    assert memory_logger.series("logging/every_n_steps/HistogramCallback") == [(1, 4.0), (4, 8.0), (8, 16.0)]
    assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [1, 4, 8, 12]
    assert [step for step, _ in memory_logger.series("gradients/net.0.weight")] == [1]  # next 6, 12, 24


def test_the_first_window_is_longer_as_a_run_is_looked_at_most_often_at_its_start(monkeypatch):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 10.0)
    monkeypatch.setattr(budget, "perf_counter", lambda: 100.0)
    overhead = Budget(0.01)
    assert overhead.due_at == 130.0
    monkeypatch.setattr(budget, "perf_counter", lambda: 130.0)
    overhead.check(0.1)
    assert overhead.due_at == 140.0


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan"), "1 %", True])
def test_a_share_outside_0_to_1_raises(share):
    with pytest.raises(ValueError, match=r"overhead_budget: expected a share in \(0, 1\], got"):
        Recorder(overhead_budget=share)


def test_a_run_within_its_budget_keeps_its_intervals(quiet_trainer, memory_logger, monkeypatch):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)
    callbacks = [HistogramCallback(2), Recorder(overhead_budget=1.0)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Regression(steps=10))
    assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [1, 2, 4, 6, 8, 10]


def test_an_interval_in_rollouts_is_widened_in_rollouts(quiet_trainer, memory_logger, monkeypatch, caplog):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)
    callbacks = [ImageCallback(1), Recorder(overhead_budget=1e-9)]
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Agent(losses(*[0.0] * 12), updates=1))
    assert [value for _, value in memory_logger.series("logging/every_n_rollouts/ImageCallback")][:2] == [2.0, 4.0]
    assert "ImageCallback fires every 2 rollouts until there is room again" in caplog.text
    assert len(memory_logger.series("observations")) < 12


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch ended")
def test_a_resumed_run_keeps_the_intervals_that_it_has_logged(quiet_trainer, memory_logger, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        patch.setattr(budget, "WINDOW_SECONDS", 0.0)
        trainer = quiet_trainer(callbacks=[HistogramCallback(2), Recorder(overhead_budget=1e-9)], max_steps=10)
        trainer.fit(Regression(steps=40))
    trainer.save_checkpoint(tmp_path / "ten.ckpt")
    (widened,) = (each._every.multiplier for each in trainer.callbacks if isinstance(each, HistogramCallback))
    assert widened == 8
    resumed = quiet_trainer(logger=memory_logger, callbacks=[HistogramCallback(2)], max_steps=40, max_epochs=9)
    resumed.fit(Regression(steps=40), ckpt_path=tmp_path / "ten.ckpt", weights_only=False)
    assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [16, 32, 40]


def test_an_interval_of_a_checkpoint_narrows_without_a_warning(schedules, caplog):
    overhead, _, costly = schedules
    overhead.load_state_dict({"costly": 4})
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        assert overhead.adjust(0.001, {"costly": 0.0}) == {"logging/every_n_steps/costly": 200.0}
    assert costly.multiplier == 2
    assert caplog.records == []  # nothing took more than its budget


def test_where_nothing_can_be_widened_one_warning_says_so(schedules, caplog):
    overhead, cheap, costly = schedules
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        for _ in range(3):
            assert overhead.adjust(0.5, {"cheap": 0.0, "costly": 0.0}) == {}
    assert (cheap.multiplier, costly.multiplier) == (1, 1)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "recording took 50.0% of the run, above its budget of 1.0%: no interval is left to widen"


def test_a_second_trainer_begins_with_the_intervals_as_given(quiet_trainer, memory_logger, monkeypatch):
    callback = HistogramCallback(2)
    with monkeypatch.context() as patch:
        patch.setattr(budget, "WINDOW_SECONDS", 0.0)
        quiet_trainer(callbacks=[callback, Recorder(overhead_budget=1e-9)]).fit(Regression(steps=10))
    assert callback._every.multiplier > 1
    quiet_trainer(logger=memory_logger, callbacks=[callback]).fit(Regression(steps=6))
    assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [1, 2, 4, 6]
