import threading
from threading import Event

import numpy as np
import pytest

from puffer_callbacks import Image
from puffer_callbacks.backends import async_writer as module
from puffer_callbacks.backends.async_writer import AsyncWriter
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from tests.backends.fakes import Blocking, Recording, at
from tests.support.warned import warned

PICTURE = Image(np.zeros((2, 2, 3), np.uint8))


@pytest.fixture
def blocked(monkeypatch):
    """A writer that takes no row before it is released, and has been given one."""
    monkeypatch.setattr(AsyncWriter, "close_timeout", 0.05)
    monkeypatch.setattr(AsyncWriter, "checkpoint_timeout", 0.05)
    inner = Blocking(Event(), Event())
    writer = AsyncWriter(RetryingWriter(inner))
    writer.write({"a": 0.0}, at(0))
    writer._do(lambda: None)  # a job that is waited for wakes the thread at once
    assert inner.entered.wait(30)
    yield writer
    inner.released.set()


def reports(writer):
    with warned() as reported:
        writer.close()
        writer.faults.report_deferred()
    return reported


def test_rows_are_written_in_order_on_another_thread():
    class Threads(Recording):
        def write(self, values, axes):
            super().write(values, axes)
            self.calls.append(threading.current_thread())

    writer = AsyncWriter(RetryingWriter(Threads()))
    for step in range(5):
        writer.write({"a": float(step)}, at(step))
    assert reports(writer) == []
    assert writer.writer.writer.rows == [(step, {"a": float(step)}) for step in range(5)]
    (thread,) = {call for call in writer.writer.writer.calls if isinstance(call, threading.Thread)}
    assert thread is not threading.current_thread()
    assert not thread.is_alive()  # it is joined


def test_a_row_is_as_it_was_when_it_was_given(blocked):
    values = {"a": 1.0}
    blocked.write(values, at(1))
    values["a"] = 2.0
    blocked.writer.writer.released.set()
    blocked.close()
    assert blocked.writer.writer.rows[-1] == (1, {"a": 1.0})


def test_a_change_of_the_axis_is_for_the_rows_to_come(blocked):
    blocked.x_axis = "env_steps"
    assert (blocked.x_axis, blocked.writer.writer.x_axis) == ("env_steps", "optimizer_steps")
    blocked.writer.writer.released.set()
    blocked.close()
    assert blocked.writer.writer.x_axis == "env_steps"


def test_a_checkpoint_waits_once_and_carries_what_is_not_written(blocked):
    blocked.write({"a": 1.0}, at(1))
    blocked.flush()
    blocked.flush()
    rows = blocked.state_dict()["rows"]
    assert [values for values, _ in rows] == [{"a": 0.0}, {"a": 1.0}]


def test_a_checkpoint_after_a_resume_carries_the_rows_of_the_one_before_ahead_of_new_ones(blocked):
    class GoesBack(Blocking):
        def resume(self, last_step):
            self.calls.append(last_step)

    blocked.write({"a": 1.0}, at(1))
    inner = GoesBack(Event(), Event())
    resumed = AsyncWriter(RetryingWriter(inner))
    resumed.load_state_dict(blocked.state_dict())
    resumed.resume(1)
    resumed.write({"a": 2.0}, at(2))
    assert inner.entered.wait(30)  # it writes the first of them
    resumed.flush()
    assert [values["a"] for values, _ in resumed.state_dict()["rows"]] == [0.0, 1.0, 2.0]
    inner.released.set()
    resumed.close()
    assert [step for step, _ in inner.rows] == [0, 1, 2]


def test_a_stalled_writer_is_given_up_and_its_rows_are_counted(blocked):
    blocked.write({"a": 1.0}, at(1))
    blocked.enqueue(lambda: None, is_row=True)
    reason, in_all = reports(blocked)
    assert "it took more than 0.05 seconds for one row" in reason
    assert in_all.endswith("3 of 3 rows of this run could not be recorded whole")


def test_rows_that_a_stalled_writer_had_taken_are_not_lost(monkeypatch):
    class Stalls(Recording):
        released = threading.Event()

        def write(self, values, axes):
            if values["a"] > 2:
                self.released.wait()
            super().write(values, axes)

    monkeypatch.setattr(AsyncWriter, "close_timeout", 0.05)
    writer = AsyncWriter(RetryingWriter(Stalls()))
    for step in (1, 2, 3, 4, 5):
        writer.write({"a": float(step)}, at(step))
    in_all = reports(writer)[-1]
    Stalls.released.set()
    assert in_all.endswith("3 of 5 rows of this run could not be recorded whole")


def test_pictures_that_are_written_take_no_place_of_those_that_wait(blocked, monkeypatch):
    """W&B's rows are not durable for twenty seconds."""
    monkeypatch.setattr(module, "MAX_WAITING_WITH_PICTURES", 2)
    for step in (1, 2):
        blocked.writer.unsaved.add({"picture": PICTURE}, at(step)).written = 0.0
    for step in (3, 4):
        blocked.write({"a": 1.0}, at(step))
    blocked.write({"picture": PICTURE}, at(5))
    blocked.writer.writer.released.set()
    assert reports(blocked) == []
    assert blocked.writer.writer.rows[-1] == (5, {"picture": PICTURE})


def test_what_a_given_up_thread_still_does_is_not_the_run_s(blocked):
    faults = blocked.faults
    blocked.close()
    faults.reset()
    blocked.writer.writer.released.set()
    blocked.writer.call(lambda: 1 / 0)
    with warned() as reported:
        faults.report_deferred()
    assert reported == []


def test_of_rows_beyond_those_that_can_wait_each_is_counted(blocked, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", blocked._worker.waiting + 2)
    for step in range(1, 6):
        blocked.write({"a": 1.0}, at(step))
    blocked.enqueue(lambda: None, is_row=True)
    assert blocked.writer.report.lost == 4
    blocked.writer.writer.released.set()
    assert reports(blocked)[-1].endswith("4 of 7 rows of this run could not be recorded whole")
    assert [step for step, _ in blocked.writer.writer.rows] == [0, 1, 2]


def test_pictures_are_the_first_to_be_left_out(blocked, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING_WITH_PICTURES", 1)
    for step in (1, 2):
        blocked.write({"a": 1.0, "picture": PICTURE}, at(step))
    blocked.writer.writer.released.set()
    reason, in_all = reports(blocked)
    assert "pictures are left out" in reason
    assert in_all.endswith("1 of 3 rows of this run could not be recorded whole")
    assert blocked.writer.writer.rows[-2:] == [(1, {"a": 1.0, "picture": PICTURE}), (2, {"a": 1.0})]


def test_rows_without_pictures_take_no_picture_s_place(blocked):
    """W&B takes seconds for its first row, in which a fast run makes hundreds."""
    for step in range(1, module.MAX_WAITING_WITH_PICTURES + 2):
        blocked.write({"a": 1.0}, at(step))
    blocked.write({"picture": PICTURE}, at(100))
    blocked.writer.writer.released.set()
    assert reports(blocked) == []
    assert blocked.writer.writer.rows[-1] == (100, {"picture": PICTURE})


def test_other_calls_come_after_the_rows_before_them():
    inner = Recording()
    writer = AsyncWriter(RetryingWriter(inner))
    writer.write({"a": 1.0}, at(1))
    writer.enqueue(lambda: inner.calls.append("waited for"), wait=True)
    assert inner.calls == [(1, {"a": 1.0}), "waited for"]
    writer.close()


def test_after_the_close_calls_are_made_at_once_on_the_caller_s_thread():
    writer = AsyncWriter(RetryingWriter(Recording()))
    writer.close()
    assert writer.enqueue(threading.current_thread) is threading.current_thread()


def test_draining_waits_for_all_rows_and_not_for_a_stalled_writer(blocked):
    assert not blocked.drain()
    blocked.writer.writer.released.set()
    healthy = AsyncWriter(RetryingWriter(Recording()))
    healthy.write({"a": 1.0}, at(1))
    assert healthy.drain()
    assert healthy.writer.writer.rows == [(1, {"a": 1.0})]
    healthy.close()


def test_an_exit_on_the_thread_is_a_fault_like_any_other():
    class Exits(Recording):
        def write(self, values, axes):
            raise SystemExit(3)

    writer = AsyncWriter(RetryingWriter(Exits()))
    writer.write({"a": 1.0}, at(1))
    assert "SystemExit: 3" in reports(writer)[0]


def test_ctrl_c_in_a_call_on_the_training_thread_gets_through():
    """As in what Lightning calls at each checkpoint: the run would go on as if it had not been pressed."""

    def interrupt():
        raise KeyboardInterrupt

    writer = AsyncWriter(RetryingWriter(Recording()))
    writer.write({"a": 1.0}, at(1))
    assert writer.drain()  # there is a thread
    with pytest.raises(KeyboardInterrupt):
        writer.call(interrupt)
    writer.write({"a": 2.0}, at(2))
    assert reports(writer) == []
    assert [step for step, _ in writer.writer.writer.rows] == [1, 2]


def test_a_long_wait_is_announced(blocked, monkeypatch, caplog):
    monkeypatch.setattr("puffer_callbacks.backends.announce.ANNOUNCE_AFTER", 0.0)
    monkeypatch.setattr(AsyncWriter, "close_timeout", 0.5)
    blocked.drain()
    assert "waiting for NoneType to take" in caplog.text
