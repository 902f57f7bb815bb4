import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import Image, Text, Writer, writer_for
from puffer_callbacks.backends import refused_rows, unsaved_rows
from puffer_callbacks.backends import retrying_writer as module
from puffer_callbacks.backends.retrying_writer import RetryingWriter
from puffer_callbacks.faults import Faults
from puffer_callbacks.runs import read_run
from tests.backends.fakes import Recording, at
from tests.support.warned import warned


class Failing(Recording):
    """Fails while ``fails(values)`` says so; ``recover`` is recorded and returns ``must_rewrite``."""

    must_rewrite = False

    def __init__(self, fails):
        super().__init__()
        self.fails = fails

    def write(self, values, axes):
        if self.fails(values):
            raise OSError(28, "No space left on device")
        super().write(values, axes)

    def recover(self):
        self.calls.append("recover")
        return self.must_rewrite


class Times:
    """True so many times, then false."""

    def __init__(self, times):
        self.left = times

    def __call__(self, values):
        self.left -= 1
        return self.left >= 0


def reports(writer):
    """What is reported when the writer closes."""
    with warned() as reported:
        writer.close()
        writer.faults.report_deferred()
    return reported


def test_a_healthy_writer_gets_each_row_once_and_nothing_is_reported():
    inner = Recording()
    writer = RetryingWriter(inner)
    writer.write({"a": 1.0}, at(1))
    writer.flush()
    assert reports(writer) == []
    assert inner.calls == [(1, {"a": 1.0}), "flush", "close"]
    assert (writer.report.rows, writer.report.lost) == (1, 0)


def test_a_row_that_fails_once_is_written_all_the_same():
    writer = RetryingWriter(Failing(Times(1)))
    writer.write({"a": 1.0}, at(1))
    assert writer.writer.rows == [(1, {"a": 1.0})]
    reason, in_all = reports(writer)
    assert reason.startswith("NoneType: could not record (OSError: [Errno 28] No space left on device)")
    assert in_all == "NoneType, in all: all 1 rows of this run were recorded all the same"


def test_one_bad_value_costs_no_other():
    writer = RetryingWriter(Failing(lambda values: any(isinstance(value, Text) for value in values.values())))
    writer.write({"a": 1.0, "words": Text("bad"), "b": 2.0}, at(1))
    writer.write({"a": 3.0}, at(2))
    assert writer.writer.calls == [(1, {"a": 1.0, "b": 2.0}), (2, {"a": 3.0})]
    assert reports(writer)[-1].endswith("1 of 2 rows of this run could not be recorded whole")


def test_what_was_written_of_a_row_is_in_a_checkpoint():
    writer = RetryingWriter(Failing(lambda values: any(isinstance(value, Text) for value in values.values())))
    writer.write({"a": 1.0, "b": Text("bad")}, at(1))
    assert [values for values, _ in writer.state_dict()["rows"]] == [{"a": 1.0}]
    writer.flush()
    assert (writer.state_dict()["durable_step"], writer.state_dict()["rows"]) == (1, [])


def test_a_refused_row_without_its_pictures_is_in_a_checkpoint(monkeypatch):
    monkeypatch.setattr(refused_rows, "MAX_WITH_PICTURES", 0)
    writer = RetryingWriter(Failing(lambda values: True))
    writer.write({"a": 1.0, "picture": Image(np.zeros((2, 2, 3), np.uint8))}, at(1))
    assert [values for values, _ in writer.state_dict()["rows"]] == [{"a": 1.0}]


def test_a_refused_row_of_pictures_alone_leaves_no_empty_one(monkeypatch):
    monkeypatch.setattr(refused_rows, "MAX_WITH_PICTURES", 0)
    writer = RetryingWriter(Failing(lambda values: True))
    writer.write({"picture": Image(np.zeros((2, 2, 3), np.uint8))}, at(1))
    writer.writer.fails = lambda values: False
    writer.write({"a": 1.0}, at(2))
    assert writer.writer.rows == [(2, {"a": 1.0})]
    assert reports(writer)[-1].endswith("1 of 2 rows of this run could not be recorded whole")


def test_a_value_that_is_refused_in_each_row_is_not_kept_for_ever():
    writer = RetryingWriter(Failing(lambda values: any(isinstance(value, Text) for value in values.values())))
    for step in range(5):
        writer.write({"a": 1.0, "b": Text("bad")}, at(step))
    assert writer.report.lost == 4, "the last may be taken yet"
    assert reports(writer)[-1].endswith("5 of 5 rows of this run could not be recorded whole")


def test_where_every_part_fails_the_backend_is_reopened_and_the_row_tried_again():
    writer = RetryingWriter(Failing(Times(4)))  # whole and in parts, twice each
    writer.write({"a": 1.0}, at(1))
    assert writer.writer.calls == ["recover", (1, {"a": 1.0})]
    assert reports(writer)[-1].endswith("all 1 rows of this run were recorded all the same")


def test_what_a_backend_lost_with_its_buffer_is_written_again():
    inner = Failing(Times(0))
    inner.must_rewrite = True
    writer = RetryingWriter(inner)
    for step in (1, 2, 3):
        writer.write({"a": float(step)}, at(step))
        if step == 1:
            writer.flush()  # and durable
    inner.fails = Times(4)
    writer.write({"a": 4.0}, at(4))
    assert [row[0] for row in inner.rows] == [1, 2, 3, 2, 3, 4]


def test_a_row_that_was_given_up_is_not_written_again():
    inner = Failing(lambda values: "bad" in values)
    inner.must_rewrite = True
    writer = RetryingWriter(inner)
    for step, tag in enumerate(("a", "bad", "b"), start=1):
        writer.write({tag: 1.0}, at(step))
    inner.fails = Times(4)  # and then it would take any
    writer.write({"c": 1.0}, at(4))
    assert [row[0] for row in inner.rows][-3:] == [1, 3, 4]
    assert not any("bad" in values for _, values in inner.rows)


def test_a_writer_that_cannot_flush_is_reopened_before_the_next_row():
    class Flushes(Failing):
        broken = True

        def flush(self):
            if self.broken:
                raise OSError(5, "Input/output error")

        def recover(self):
            self.broken = False
            return super().recover()

    inner = Flushes(Times(0))
    inner.must_rewrite = True
    writer = RetryingWriter(inner)
    writer.write({"a": 1.0}, at(1))
    writer.flush()
    writer.write({"a": 2.0}, at(2))
    assert inner.calls == [(1, {"a": 1.0}), "recover", (1, {"a": 1.0}), (2, {"a": 2.0})]


def test_at_its_end_a_writer_that_failed_is_reopened_and_a_healthy_one_is_not():
    healthy, failing = Failing(Times(0)), Failing(lambda values: True)
    for inner in (healthy, failing):
        writer = RetryingWriter(inner)
        writer.write({"a": 1.0}, at(1))
        inner.fails = Times(0)
        reports(writer)
    assert healthy.calls == [(1, {"a": 1.0}), "close"]
    assert failing.calls == ["recover", "recover", (1, {"a": 1.0}), "close"]


def test_a_writer_that_failed_is_reopened_before_each_row_until_it_works():
    writer = RetryingWriter(Failing(lambda values: True))
    for step in (1, 2, 3):
        writer.write({"a": 1.0}, at(step))
    assert writer.writer.calls == ["recover"] * 3
    writer.writer.fails = lambda values: False
    assert [row[0] for row in writer.unsaved.state_dict()["rows"]] == [{"a": 1.0}] * 3, "a checkpoint has them"
    writer.write({"a": 1.0}, at(4))
    assert writer.writer.rows == [(step, {"a": 1.0}) for step in (1, 2, 3, 4)]
    assert reports(writer)[-1].endswith("all 4 rows of this run were recorded all the same")


def test_a_row_that_no_backend_takes_keeps_no_later_one_waiting():
    writer = RetryingWriter(Failing(lambda values: "bad" in values))
    for step, tag in enumerate(("a", "bad", "b", "bad", "bad", "c")):
        writer.write({tag: 1.0}, at(step))
    assert writer.writer.rows == [(0, {"a": 1.0}), (2, {"b": 1.0}), (5, {"c": 1.0})]
    assert reports(writer)[-1].endswith("3 of 6 rows of this run could not be recorded whole")


def test_of_very_many_refused_rows_the_oldest_are_lost_and_the_pictures_of_the_last(monkeypatch):
    monkeypatch.setattr(refused_rows, "MAX_UNSAVED", 3)
    monkeypatch.setattr(refused_rows, "MAX_WITH_PICTURES", 2)
    pixels = np.zeros((2, 2, 3), np.uint8)
    writer = RetryingWriter(Failing(lambda values: True))
    for step in range(4):
        writer.write({"a": 1.0, "picture": Image(pixels)}, at(step))
    writer.writer.fails = lambda values: False
    assert reports(writer)[-1].endswith("3 of 4 rows of this run could not be recorded whole")
    assert [(step, [*values]) for step, values in writer.writer.rows] == [(1, ["a", "picture"]), (2, ["a"]), (3, ["a"])]


def test_a_failing_flush_leaves_rows_unsaved():
    class Flushes(Recording):
        def flush(self):
            raise OSError(5, "Input/output error")

    writer = RetryingWriter(Flushes())
    writer.write({"a": 1.0}, at(1))
    writer.flush()
    assert len(writer.unsaved.rows()) == 1
    assert "Input/output error" in reports(writer)[0]


def test_only_new_rows_are_flushed_in_time():
    writer = RetryingWriter(Recording())
    writer.flush_new()
    writer.write({"a": 1.0}, at(1))
    writer.flush_new()
    writer.flush_new()
    assert writer.writer.calls.count("flush") == 1


def test_without_a_thread_rows_are_flushed_from_time_to_time(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(module, "monotonic", lambda: next(clock))
    writer = RetryingWriter(Recording())
    for step in range(4):
        writer.write({"a": 1.0}, at(step))
    assert "flush" in writer.writer.calls
    assert len(writer.unsaved.rows()) < 4


def fast(writer, *, rows):
    """The writer after so many rows."""
    for step in range(rows):
        writer.write({"a": 1.0}, at(step))
    return writer


@pytest.fixture
def eight_unsaved(monkeypatch):
    clock = itertools.count()
    monkeypatch.setattr(module, "monotonic", lambda: next(clock) / 15)
    monkeypatch.setattr(unsaved_rows, "MAX_UNSAVED", 8)


def test_very_many_rows_are_flushed_before_one_is_forgotten(eight_unsaved):
    writer = fast(RetryingWriter(Recording()), rows=40)
    assert len(writer.unsaved.rows()) < 8
    assert writer.unsaved.forgotten == 0
    assert reports(writer) == []


def test_rows_that_a_crash_could_lose_are_reported_once(eight_unsaved):
    class Buffers(Recording):
        durability_delay = 1e9

    writer = fast(RetryingWriter(Buffers()), rows=40)
    assert len(writer.writer.rows) == 40
    assert len(writer.unsaved.rows()) == 8
    assert writer.unsaved.forgotten == 32
    (warning,) = reports(writer)
    assert "a crash could lose the oldest of them: log less often" in warning


def test_an_exception_that_is_none_of_the_logger_s_gets_through():
    def interrupt(values):
        raise KeyboardInterrupt

    writer = RetryingWriter(Failing(interrupt))
    with pytest.raises(KeyboardInterrupt):
        writer.write({"a": 1.0}, at(1))
    writer.worker = SimpleNamespace(is_current=lambda: True)
    writer.write({"a": 1.0}, at(2))
    assert "KeyboardInterrupt" in reports(writer)[0]


def test_calls_return_what_the_logger_returns_and_count_their_rows():
    writer = RetryingWriter(Recording())
    assert writer.enqueue(lambda: "returned") == "returned"
    assert writer.enqueue(lambda: 1 / 0, is_row=True) is None
    assert writer.enqueue(lambda: None, is_row=True) is None
    assert reports(writer)[-1].endswith("1 of 2 rows of this run could not be recorded whole")


def test_the_logger_s_own_calls_are_known_by_their_thread():
    writer = RetryingWriter(Recording())
    inside = []
    for _ in range(2):
        writer.call(lambda: inside.append(writer.is_in_call))
    assert inside == [True, True]
    assert not writer.is_in_call


class Rewinds(Recording):
    """Can go back."""

    def resume(self, last_step):
        self.calls.append(("resume", last_step))

    def state_dict(self):
        return {"size": 7}

    def load_state_dict(self, state_dict):
        self.calls.append(("load", state_dict))


def test_a_run_resumes_after_its_durable_rows_and_writes_the_others_again():
    before = RetryingWriter(Rewinds())
    for step in (1, 2, 3):
        before.write({"a": float(step)}, at(step))
        if step == 1:
            before.flush()
    after = RetryingWriter(Rewinds())
    after.load_state_dict(before.state_dict())
    assert after.state_dict() == before.state_dict(), "a checkpoint before the first row"
    after.resume(3)
    assert after.writer.calls == [("load", {"size": 7}), ("resume", 1), (2, {"a": 2.0}), (3, {"a": 3.0})]


def test_a_resumed_row_of_the_last_durable_step_is_written_again():
    before = RetryingWriter(Rewinds())
    for step in (1, 1, 2):
        before.write({"a": float(step)}, at(step))
        if len(before.writer.rows) == 1:
            before.flush()
    after = RetryingWriter(Rewinds())
    after.load_state_dict(before.state_dict())
    after.resume(2)
    assert after.writer.calls[2:] == [(1, {"a": 1.0}), (2, {"a": 2.0})]
    after.flush()
    assert (after.state_dict()["durable_step"], after.state_dict()["rows"]) == (2, [])


@pytest.mark.parametrize("kind", [TensorBoardLogger, CSVLogger])
def test_a_killed_run_has_every_row_of_the_last_durable_step_once(tmp_path, kind):
    """As the first rollout's, on optimizer steps: the configuration stands at step 0 before it."""
    make = lambda: RetryingWriter(writer_for(kind(tmp_path, name="", version="")))  # noqa: E731
    row = lambda tag, step: {tag: 0.5, "time/optimizer_steps": float(step)}  # noqa: E731
    before = make()
    before.begin(0)
    before.write(row("first", 0), at(0))
    before.flush()
    before.write(row("second", 0), at(0))
    before.write(row("first", 1), at(1))
    checkpoint = before.state_dict()  # the rows are written, but not known to be durable
    before.write(row("first", 2), at(2))
    before.flush()
    after = make()  # and before is killed
    after.load_state_dict(checkpoint)
    after.resume(1)
    after.write(row("first", 2), at(2))
    after.close()
    run = read_run(tmp_path)
    assert run.series("first")[0].tolist() == [0, 1, 2]
    assert run.series("second")[0].tolist() == [0]


def test_without_a_part_of_the_checkpoint_a_run_resumes_after_its_step():
    writer = RetryingWriter(Rewinds())  # a logger that the run did not have before
    writer.resume(3)
    assert writer.writer.calls == [("resume", 3)]


def test_a_checkpoint_before_the_first_flush_has_the_writer_s_state_of_the_beginning():
    writer = RetryingWriter(Rewinds())
    writer.begin(0)
    writer.write({"a": 1.0}, at(1))
    assert writer.state_dict()["writer_state"] == {"size": 7}


class Counts(Recording):
    """Cannot go back, and knows how many rows it was given in all lives of a run."""

    given = 0

    def write(self, values, axes):
        super().write(values, axes)
        self.given += 1

    def state_dict(self):
        return {"given": self.given}

    def load_state_dict(self, state_dict):
        self.given = state_dict["given"]


def test_a_writer_that_cannot_go_back_is_given_its_state_and_no_row_again():
    before, after, joins_later = (RetryingWriter(Counts()) for _ in range(3))
    before.write({"a": 1.0}, at(1))
    before.flush()
    before.write({"a": 2.0}, at(2))
    after.load_state_dict(before.state_dict())
    for writer in (after, joins_later):
        writer.resume(2)
        assert writer.writer.calls == []
        writer.write({"a": 3.0}, at(3))
    assert (after.writer.given, joins_later.writer.given) == (2, 1)
    assert reports(after) == reports(joins_later) == []


def test_strict_raises_the_reason_and_no_sum():
    writer = RetryingWriter(Failing(lambda values: True), faults=Faults(strict=True))
    writer.write({"a": 1.0}, at(1))
    with pytest.raises(OSError, match="No space left"):
        writer.faults.report_deferred()
    writer.faults.reset()
    writer.close()
    writer.faults.report_deferred()


def test_the_axis_is_the_writer_s():
    class Least(Writer):
        def write(self, values, axes): ...

    inner = Least(logger=None)
    RetryingWriter(inner).x_axis = "env_steps"
    assert inner.x_axis == "env_steps"
