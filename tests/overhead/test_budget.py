"""The overhead budget, from its parts and in a real run."""

import logging
import time

import pytest

from puffer_callbacks import HistogramCallback, Recorder
from puffer_callbacks.overhead import budget
from puffer_callbacks.overhead.budget import MAX_MULTIPLIER, Budget
from puffer_callbacks.schedule import Every
from tests.support.regression import Regression


@pytest.fixture
def schedules() -> tuple[Budget, Every, Every]:
    cheap, dear = Every(10), Every(100)
    allowance = Budget(0.01)
    allowance.register("cheap", cheap)
    allowance.register("dear", dear)
    return allowance, cheap, dear


def test_the_dearest_gives_way_and_says_so_once(schedules, caplog):
    allowance, cheap, dear = schedules
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        assert allowance.adjust(0.03, {"cheap": 0.001, "dear": 0.02}) == {"logging/every_n_steps/dear": 200.0}
        assert allowance.adjust(0.02, {"cheap": 0.001, "dear": 0.01}) == {"logging/every_n_steps/dear": 400.0}
    assert (cheap.multiplier, dear.multiplier) == (1, 4)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("recording took 3.0% of the run, above its budget of 1.0%: dear fires every 200 steps")


def test_within_the_budget_nothing_moves_and_with_room_it_comes_back(schedules):
    allowance, _, dear = schedules
    allowance.adjust(0.03, {"dear": 0.02})
    assert allowance.adjust(0.009, {"dear": 0.005}) == {} and dear.multiplier == 2
    assert allowance.adjust(0.001, {"dear": 0.0}) == {"logging/every_n_steps/dear": 100.0}
    assert allowance.adjust(0.001, {"dear": 0.0}) == {} and dear.multiplier == 1


def test_widening_ends(schedules):
    allowance, _, dear = schedules
    for _ in range(20):
        allowance.adjust(1.0, {"dear": 1.0, "cheap": 0.0})
    assert dear.multiplier == MAX_MULTIPLIER


def test_in_a_run(quiet_trainer, memory_logger, monkeypatch):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)  # every step ends a window
    callbacks = [HistogramCallback(2), Recorder(overhead_budget=1e-9)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Regression(steps=60))
    intervals = [value for _, value in memory_logger.series("logging/every_n_steps/HistogramCallback")]
    assert intervals[:3] == [4.0, 8.0, 16.0]
    assert "weights/net.0.weight" not in memory_logger.tags  # its interval outran the run


@pytest.mark.parametrize("share", [0, -0.1, 1.5, float("nan"), "1 %", True])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(ValueError, match=r"overhead_budget: expected a share in \(0, 1\], got"):
        Recorder(overhead_budget=share)


def test_a_run_within_its_budget_keeps_its_intervals(quiet_trainer, memory_logger):
    began = time.monotonic()
    quiet_trainer(logger=memory_logger, callbacks=[HistogramCallback(2)]).fit(Regression(steps=10))
    if time.monotonic() - began < budget.WINDOW_SECONDS:
        assert [step for step, _ in memory_logger.series("weights/net.0.weight")] == [2, 4, 6, 8, 10]
