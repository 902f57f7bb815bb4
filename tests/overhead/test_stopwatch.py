"""The measured share of a run's time, on a clock that only the test moves."""

import pytest

from puffer_callbacks.overhead import stopwatch as module
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    return clock


@pytest.mark.parametrize("in_guard", [True, False])
def test_overhead_is_the_measured_share(clock, in_guard):
    watch = Stopwatch()
    with Guard("recording", watch, None) if in_guard else watch, watch:
        clock.now += 0.5
    clock.now += 1.5
    assert watch.inside == pytest.approx(0.5)
    assert watch.overhead() == pytest.approx(0.25)


def test_other_threads_and_the_open_block_count_once(clock):
    watch = Stopwatch()
    clock.now += 1.0
    with watch:
        clock.now += 0.25
        assert watch.overhead(in_threads=0.25) == pytest.approx(0.5 / 1.25)


def test_overhead_never_exceeds_the_whole_run(clock):
    watch = Stopwatch()
    clock.now += 1.0
    assert watch.overhead(in_threads=3.0) == 1.0


def test_restart_begins_at_zero(clock):
    watch = Stopwatch()
    with watch:
        clock.now += 0.25
    watch.restart()
    clock.now += 1.0
    assert (watch.inside, watch.overhead()) == (0.0, 0.0)
