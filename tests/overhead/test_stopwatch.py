import pytest

from puffer_callbacks.overhead import stopwatch as module
from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import MOST_DISPLACED, Stopwatch


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr("puffer_callbacks.overhead.guard.perf_counter", clock)
    return clock


@pytest.mark.parametrize(
    ("block", "lost"), [(1e-4, 2e-4), (MOST_DISPLACED, 2 * MOST_DISPLACED), (0.5, 0.5 + MOST_DISPLACED)]
)
@pytest.mark.parametrize("in_guard", [True, False])
def test_a_block_costs_itself_and_what_it_displaces(clock, block, lost, in_guard):
    watch = Stopwatch()
    with Guard("recording", watch, None) if in_guard else watch, watch:
        clock.now += block
    clock.now += 2.0 - block
    assert watch.inside == pytest.approx(block)
    assert watch.overhead() == pytest.approx(lost / (2.0 - lost))


def test_other_threads_and_the_open_block_count_once(clock):
    watch = Stopwatch()
    clock.now += 1.0
    with watch:
        clock.now += 0.25
        assert watch.overhead(beside=0.25) == pytest.approx(0.5 / 0.75)


def test_a_restart_forgets(clock):
    watch = Stopwatch()
    with watch:
        clock.now += 0.25
    watch.restart()
    clock.now += 1.0
    assert (watch.inside, watch.overhead()) == (0.0, 0.0)
