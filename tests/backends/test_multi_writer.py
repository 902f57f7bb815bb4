import pytest

from puffer_callbacks.backends.multi_writer import MultiWriter
from puffer_callbacks.faults import Faults
from puffer_callbacks.writers.last_steps import keep_last_step
from tests.backends.fakes import Logger, Recording, at
from tests.support.warned import warned


class Remembering(Recording):
    """Keeps what it is told about runs and checkpoints."""

    def begin(self, first_step):
        self.calls.append(("begin", first_step))

    def resume(self, last_step):
        self.calls.append(("resume", last_step))

    def state_dict(self):
        return {"of": self.calls[0]}

    def load_state_dict(self, state_dict):
        self.calls.append(("load", state_dict["of"]))


class First(Logger): ...


class Second(Logger): ...


def test_each_writer_gets_everything():
    writers = [Recording(), Recording()]
    multi = MultiWriter(writers, Faults())
    multi.x_axis = "optimizer_steps"
    multi.write({"a": 1.0}, at(1))
    multi.flush()
    multi.close()
    assert [writer.calls for writer in writers] == [[(1, {"a": 1.0}), "flush", "close"]] * 2


def test_the_axis_is_that_of_all():
    writers = [Recording(), Recording()]
    MultiWriter(writers, Faults()).x_axis = "env_steps"
    assert {writer.x_axis for writer in writers} == {"env_steps"}
    assert MultiWriter(writers, Faults()).x_axis == "env_steps"
    assert MultiWriter([], Faults()).x_axis == "optimizer_steps"


def test_cpu_seconds_add_up():
    writers = [Recording(), Recording()]
    writers[0].busy, writers[1].busy = 1.0, 0.5
    assert MultiWriter(writers, Faults()).busy == 1.5


@pytest.mark.parametrize(
    "act",
    [
        lambda multi: multi.begin(0),
        lambda multi: multi.resume(0),
        lambda multi: multi.write({}, at(1)),
        lambda multi: multi.flush(),
        lambda multi: multi.close(),
    ],
)
def test_deferred_faults_are_reported_after_each_call(act):
    faults = Faults()
    multi = MultiWriter([Recording()], faults)
    faults.defer("disk", "full")
    with warned() as reported:
        act(multi)
    assert reported == ["disk: full"]


def test_states_find_their_loggers_by_class():
    def multi(*loggers):
        writers = [Remembering(logger) for logger in loggers]
        for at_, writer in enumerate(writers):
            writer.calls.append(f"{type(writer.logger).__name__} {at_}")
        return MultiWriter(writers, Faults())

    state = multi(First(), Second(), First()).state_dict()
    other = multi(Second(), First(), First(), First(), Recording())
    other.load_state_dict(state)
    loaded = [writer.calls[1:] for writer in other.writers]
    assert loaded == [[("load", "Second 1")], [("load", "First 0")], [("load", "First 2")], [], []]


def test_one_warning_tells_of_later_rows_of_an_earlier_run():
    loggers = [First(), Second(), Logger()]
    keep_last_step(loggers[0], 8)
    keep_last_step(loggers[0], 4)
    keep_last_step(loggers[1], 12)
    multi = MultiWriter([Remembering(logger) for logger in loggers], Faults())
    with warned() as reported:
        multi.begin(3)
    (warning,) = reported
    assert warning.startswith(
        "First, Second: expected no rows after step 3, where this run begins, got rows up to step 12"
    )
    assert [writer.calls for writer in multi.writers] == [[("begin", 3)]] * 3
    with warned() as reported:
        multi.begin(12)  # a run that goes on
    assert reported == []
