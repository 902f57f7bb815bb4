import pytest
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.writers.tensorboard.cut import cut_back
from puffer_callbacks.writers.tensorboard.records import frame

TAG = "time/optimizer_steps"
VERSION = Event(file_version="brain.Event:2")
START = Event(step=3, session_log=SessionLog(status=SessionLog.START))


def row(step, tag=TAG):
    return Event(step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=1.0)]))


def write(path, *events):
    path.write_bytes(b"".join(frame(event.SerializeToString()) for event in events))
    return path


@pytest.mark.parametrize(
    ("is_later", "kept"),
    [(False, [VERSION, row(9, "user"), START, row(2), row(5, "words")]), (True, [VERSION, row(9, "user")])],
)
def test_a_file_ends_before_the_first_row_after_the_step(tmp_path, is_later, kept):
    events = [VERSION, row(9, "user"), START, row(2), row(5, "words"), row(4), row(3), row(1, "user")]
    path, expected = write(tmp_path / "a", *events), write(tmp_path / "b", *kept)
    cut_back(str(path), size=None, is_later=is_later, last_step=3, row_tag=TAG)
    assert path.read_bytes() == expected.read_bytes()


def test_the_checkpoint_s_file_has_the_size_that_it_had(tmp_path):
    path, expected = write(tmp_path / "a", VERSION, row(2), row(1, "user")), write(tmp_path / "b", VERSION, row(2))
    cut_back(str(path), size=len(expected.read_bytes()), is_later=False, last_step=0, row_tag=TAG)
    assert path.read_bytes() == expected.read_bytes()
    cut_back(str(path), size=10_000, is_later=False, last_step=0, row_tag=TAG)
    assert path.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("torn", [b"\x01", b"\xff" * 12, b"\xff" * 40])
def test_a_torn_end_ends_the_search(tmp_path, torn):
    path = write(tmp_path / "a", VERSION, row(2))
    path.write_bytes(path.read_bytes() + torn)
    whole = path.read_bytes()
    cut_back(str(path), size=None, is_later=True, last_step=3, row_tag=TAG)
    assert path.read_bytes() == whole
