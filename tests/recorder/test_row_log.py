"""The rows of a run, in a memory logger."""

from time import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks import Axes, MemoryLogger
from puffer_callbacks.backends.default_writer import default_writer
from puffer_callbacks.faults import Faults
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.row_log import RowLog


class Run:
    """A row log that writes into a memory logger."""

    def __init__(self, x_axis="auto"):
        self.logger = MemoryLogger()
        backends = default_writer([self.logger], Faults())
        self.stopwatch = Stopwatch()
        self.row_log = RowLog(backends, x_axis=x_axis, stopwatch=self.stopwatch)

    def put(self, values, *, env_steps=None, optimizer_steps=0, count=None):
        axes = Axes(env_steps, optimizer_steps, 1000.0 + optimizer_steps)
        self.row_log.record(values, axes, count=count)

    def series(self, tag):
        self.row_log.close()
        return self.logger.series(tag)


def test_what_is_recorded_at_one_point_is_one_row():
    run = Run()
    run.put({"a": 1.0}, env_steps=16, optimizer_steps=1)
    run.put({"b": 2.0}, env_steps=16, optimizer_steps=2)
    run.put({"a": 3.0}, env_steps=32, optimizer_steps=3)
    assert run.series("a") == [(16, 1.0), (32, 3.0)]
    assert run.logger.series("b") == [(16, 2.0)]
    assert run.logger.series("time/optimizer_steps") == [(16, 2.0), (32, 3.0)]


def test_every_row_carries_every_axis_and_what_it_cost():
    run = Run()
    run.row_log.start(Axes(0, 0, 1000.0), elapsed=30.0)
    with run.stopwatch:
        sum(range(1000))
    run.put({"a": 1.0}, env_steps=16, optimizer_steps=4)
    assert run.series("time/env_steps") == [(16, 16.0)]
    assert run.logger.series("time/optimizer_steps") == [(16, 4.0)]
    assert run.logger.series("time/elapsed") == [(16, 34.0)]
    ((_, overhead),) = run.logger.series("logging/overhead_pct")
    assert 0 < overhead < 100


def test_throughput_is_steps_of_the_x_axis_per_second():
    run = Run()
    run.row_log.start(Axes(100, 1, 1001.0))
    for step in (3, 4):
        run.put({"a": 1.0}, env_steps=step * 100, optimizer_steps=step)
    assert run.series("throughput/sps") == [(300, 100.0), (400, 100.0)]


def test_a_resumed_run_goes_on_as_if_no_time_had_passed():
    run, resumed = Run(), Run()
    run.row_log.start(Axes(0, 0, 1000.0))
    for step in (1, 2):
        run.put({"a": 1.0}, env_steps=step * 100, optimizer_steps=step)
    resumed.row_log.load_state_dict(run.row_log.state_dict(), elapsed=2.5)  # half a second after the open row
    resumed.row_log.start(Axes(200, 2, 2000.0), elapsed=2.5)
    resumed.row_log.record({"a": 1.0}, Axes(300, 3, 2000.5))
    assert resumed.series("time/elapsed") == [(200, 2.0), (300, 3.0)]
    assert resumed.logger.series("throughput/sps") == [(200, 100.0), (300, 100.0)]


def test_a_row_that_ends_while_rows_are_held_is_of_the_time_of_the_checkpoint():
    run, resumed = Run(), Run()
    run.row_log.start(Axes(0, 0, 1000.0))
    run.put({"a": 1.0}, env_steps=100, optimizer_steps=1)
    resumed.row_log.hold(elapsed=0.0)
    resumed.row_log.load_state_dict(run.row_log.state_dict(), elapsed=1.5)
    for env_steps in (200, 300):
        resumed.row_log.record({"a": 1.0}, Axes(env_steps, 1, time()))
    resumed.row_log.start(Axes(300, 1, time()), elapsed=1.5)
    assert [second for _, second in resumed.series("time/elapsed")] == pytest.approx([1.0, 1.5, 1.5], abs=1e-6)


def test_the_state_of_a_run_that_waits_for_its_start_is_the_checkpoint_s():
    run, resumed = Run(), Run()
    run.row_log.start(Axes(0, 0, 1000.0))
    for step in (1, 2):
        run.put({"a": 1.0}, env_steps=step * 100, optimizer_steps=step)
    state = run.row_log.state_dict()
    resumed.row_log.hold(elapsed=0.0)
    resumed.row_log.load_state_dict(state, elapsed=2.5)
    held = resumed.row_log.state_dict()
    resumed.row_log.close()
    for each in (held, resumed.row_log.state_dict()):
        assert each | {"axes": None} == state | {"axes": None}
        assert each["axes"] == pytest.approx(state["axes"])


def test_what_is_recorded_before_the_start_takes_no_training_time():
    run = Run()
    run.put({"a": 1.0}, optimizer_steps=0)
    run.row_log.start(Axes(None, 0, 1002.0))
    assert run.series("time/elapsed") == [(0, 0.0)]


@pytest.mark.parametrize(
    ("x_axis", "env_steps", "expected"),
    [("auto", 16, 16), ("auto", None, 3), ("env_steps", 16, 16), ("optimizer_steps", 16, 3)],
)
def test_the_step_is_on_the_chosen_axis(x_axis, env_steps, expected):
    run = Run(x_axis)
    run.put({"a": 1.0}, env_steps=env_steps, optimizer_steps=3)
    assert run.series("a") == [(expected, 1.0)]


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 1000)), min_size=1, max_size=20))
def test_means_at_one_point_merge_into_the_mean_over_all_their_steps(means):
    run = Run()
    for mean, count in means:
        run.put({"a": mean}, env_steps=16, count=count)
    values, counts = np.array(means).T
    ((step, merged),) = run.series("a")
    assert step == 16
    assert merged == pytest.approx(np.average(values, weights=counts), rel=1e-9, abs=1e-9)


def test_a_mean_over_no_step_shows_as_nan_and_weighs_nothing():
    run = Run()
    run.put({"a": float("nan"), "b": 1.0}, env_steps=16, count=0)
    run.put({"a": float("nan")}, env_steps=32, count=0)
    run.put({"a": 4.0}, env_steps=32, count=2)
    run.put({"a": float("nan")}, env_steps=32, count=0)
    (first, nothing), second = run.series("a")
    assert first == 16 and np.isnan(nothing)
    assert second == (32, 4.0)


def test_of_other_values_at_one_point_the_latest_is_kept():
    run = Run()
    run.put({"a": 1.0}, env_steps=16)
    run.put({"a": 2.0}, env_steps=16)
    assert run.series("a") == [(16, 2.0)]


def test_a_value_that_replaces_a_mean_is_no_mean():
    run = Run()
    run.put({"a": 1.0}, env_steps=16, count=1000)
    run.put({"a": 2.0}, env_steps=16)
    run.put({"a": 5.0}, env_steps=16, count=10)
    assert run.series("a") == [(16, 5.0)]


def test_the_latest_number_of_each_tag_is_known():
    run = Run()
    run.put({"a": 1.0, "b": 5.0}, env_steps=16)
    run.put({"a": 2.0}, env_steps=32)
    assert run.row_log.latest["a"] == 2.0
    assert run.row_log.latest["b"] == 5.0


def test_an_axis_that_goes_back_is_reported_and_makes_no_second_point():
    run = Run()
    run.put({"a": 1.0}, env_steps=32, optimizer_steps=2)
    with pytest.warns(UserWarning, match="env_steps: expected a count that only grows, got 16 after 32"):
        run.put({"a": 2.0}, env_steps=16, optimizer_steps=1)
    run.put({"a": 3.0}, env_steps=48, optimizer_steps=3)
    steps = [step for step, _ in run.series("a")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 48


def test_nothing_recorded_is_nothing_written():
    run = Run()
    run.row_log.close()
    assert run.logger.tags == []


def counters(optimizer_steps, env_steps=None):
    return SimpleNamespace(
        optimizer_steps=optimizer_steps,
        env_steps=env_steps,
        axes=lambda: Axes(env_steps, optimizer_steps, 1000.0 + optimizer_steps),
    )


def test_the_axis_changes_to_environment_steps_where_they_begin_after_the_first_rows():
    run = Run()
    run.put({"a": 1.0}, optimizer_steps=4)
    run.put({"a": 2.0}, env_steps=100, optimizer_steps=4)
    run.put({"a": 3.0}, env_steps=200, optimizer_steps=8)
    assert run.series("a") == [(4, 1.0), (100, 2.0), (200, 3.0)]


def test_the_axis_stays_where_environment_steps_are_fewer_than_optimizer_steps():
    run = Run()
    run.put({"a": 1.0}, optimizer_steps=400)
    with pytest.warns(UserWarning, match="the x axis stays optimizer_steps. Recorder"):
        run.put({"a": 2.0}, env_steps=100, optimizer_steps=401)
        run.put({"a": 3.0}, env_steps=300, optimizer_steps=402)
    assert run.series("a") == [(400, 1.0), (401, 2.0), (402, 3.0)]
    assert run.logger.series("time/env_steps") == [(401, 100.0), (402, 300.0)]


@pytest.mark.parametrize("x_axis", ["env_steps", "optimizer_steps"])
def test_an_axis_that_the_user_chose_never_changes(x_axis):
    run = Run(x_axis)
    run.put({"a": 1.0}, optimizer_steps=4)
    run.put({"a": 2.0}, env_steps=100, optimizer_steps=5)
    assert run.series("a") == [(4, 1.0), (100 if x_axis == "env_steps" else 5, 2.0)]


def test_rows_are_written_in_time_where_environment_steps_stand_still():
    run, written = Run(), []
    for step in range(1, 3001):  # an offline phase of 3000 updates at 64 environment steps
        run.put({"a": float(step)}, env_steps=64, optimizer_steps=step, count=1)
        run.row_log.advance(counters(step, env_steps=64))
        written.append(len(run.logger.series("a")) if "a" in run.logger.tags else 0)
    assert (written[999], written[1001], written[2001]) == (0, 1, 2)
    means = run.series("a")
    assert [step for step, _ in means] == [64, 65, 66]
    assert sum(mean for _, mean in means) / 3 == pytest.approx(np.arange(1, 3001).mean(), rel=1e-3)
    steps = [value for _, value in run.logger.series("time/optimizer_steps")]
    assert steps == [1001.0, 2002.0, 3000.0]


def test_after_a_phase_that_stood_still_the_axis_goes_on():
    run = Run()
    run.put({"a": 1.0}, env_steps=64, optimizer_steps=1)
    run.row_log.commit()
    run.put({"a": 2.0}, env_steps=64, optimizer_steps=2)
    run.put({"a": 3.0}, env_steps=128, optimizer_steps=3)
    assert run.series("a") == [(64, 1.0), (65, 2.0), (128, 3.0)]
