import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.writers.tensorboard.cut_back import cut_back, link
from puffer_callbacks.writers.tensorboard.records import frame

TAG = "time/optimizer_steps"
START = Event(step=1, session_log=SessionLog(status=SessionLog.START)).SerializeToString()
VERSION = Event(file_version="brain.Event:2").SerializeToString()
FIRST, SECOND, THIRD = (f"events.out.tfevents.{second}.vm.1.0" for second in (1, 2, 3))


def row(step, tag=TAG):
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=1.0)])).SerializeToString()


def content(*events):
    return b"".join(map(frame, events))


def write(folder, **files):
    for name, events in files.items():
        (folder / {"first": FIRST, "second": SECOND, "third": THIRD}.get(name, name)).write_bytes(content(*events))


def cut(folder, *kept, file=FIRST, last_step=3):
    cut_back(str(folder), file=file, size=len(content(*kept)), last_step=last_step, row_tag=TAG)


def read(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def continues(*kept, file=FIRST):
    return link(file, len(content(*kept)))


def test_the_checkpoint_s_file_has_the_size_that_it_had(tmp_path):
    kept = VERSION, row(2), row(9, "user")
    write(tmp_path, first=[*kept, row(3, "words"), row(3)])
    cut(tmp_path, *kept)
    assert read(tmp_path) == {FIRST: content(*kept)}
    cut(tmp_path, *kept, row(3))  # a file that has lost more is left alone
    assert read(tmp_path) == {FIRST: content(*kept)}


def test_sessions_that_go_on_after_the_checkpoint_end_before_their_link(tmp_path):
    kept = VERSION, row(3)
    later = VERSION, row(1, "user"), continues(*kept, row(4)), row(5)
    latest = VERSION, continues(*later, file=SECOND), row(6)
    write(tmp_path, first=[*kept, row(4)], second=later, third=latest)
    cut(tmp_path, *kept)
    assert read(tmp_path) == {FIRST: content(*kept), SECOND: content(*later[:2]), THIRD: content(VERSION)}


def test_the_tenth_writer_of_a_process_continues_its_ninth(tmp_path):
    ninth, tenth = (f"events.out.tfevents.1.vm.1.{number}" for number in (9, 10))
    kept = VERSION, row(3)
    write(tmp_path, first=[*kept, row(4)])
    write(tmp_path, **{ninth: [VERSION, continues(*kept, row(4)), row(5)]})
    write(tmp_path, **{tenth: [VERSION, continues(VERSION, continues(*kept, row(4)), row(5), file=ninth), row(6)]})
    cut(tmp_path, *kept)
    assert read(tmp_path) == {FIRST: content(*kept), ninth: content(VERSION), tenth: content(VERSION)}


def test_of_a_session_that_went_on_before_it_rows_up_to_its_step_stay(tmp_path):
    earlier, kept = [VERSION, row(1)], [VERSION, row(1), row(3)]
    second = VERSION, continues(*earlier), row(2), row(9, f"eval_{TAG}"), row(3), row(4), row(5)
    third = VERSION, continues(*second, file=SECOND), row(6)
    write(tmp_path, first=earlier, second=second, third=third)
    cut(tmp_path, *kept)
    assert read(tmp_path) == {FIRST: content(*earlier), SECOND: content(*second[:5]), THIRD: content(VERSION)}


@pytest.mark.parametrize(
    "start", [[], [START], [link("events.out.tfevents.0.other", 9)], [b"no event"], [b"puffer_callbacks continues 9 x"]]
)
def test_files_that_do_not_continue_it_stay(tmp_path, start):
    kept = VERSION, row(3)
    write(tmp_path, first=kept, second=[VERSION, *start, row(1), row(9), row(9, f"words on {TAG}")])
    (tmp_path / "events.out.tfevents.4.torn").write_bytes(b"\xff" * 40)
    (tmp_path / "other.txt").write_text(TAG)
    before = read(tmp_path)
    cut(tmp_path, *kept)
    assert read(tmp_path) == before


def test_without_the_checkpoint_s_file_nothing_is_removed(tmp_path):
    write(tmp_path, second=[VERSION, continues(VERSION), row(9)])
    before = read(tmp_path)
    cut(tmp_path, VERSION)
    assert read(tmp_path) == before
