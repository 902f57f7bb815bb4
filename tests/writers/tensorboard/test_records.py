import importlib.util
import os
import sys
import threading

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.io import gfile
from tensorboard.summary.writer.record_writer import RecordWriter

from puffer_callbacks.axes import Axes
from puffer_callbacks.writers import writer_for
from puffer_callbacks.writers.tensorboard import records
from puffer_callbacks.writers.tensorboard.records import append, frame
from tests.support.reading import tensorboard_scalars


class File:
    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data


@pytest.fixture(params=["google-crc32c", "tensorboard"])
def crc32c(request, monkeypatch):
    """The checksum by each of the two packages that may bring it."""
    if request.param == "google-crc32c":
        if importlib.util.find_spec("google_crc32c") is None:
            pytest.skip("google-crc32c is not installed")
    else:
        monkeypatch.setitem(sys.modules, "google_crc32c", None)
    records._crc32c.cache_clear()
    yield records._crc32c()
    records._crc32c.cache_clear()


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (bytes([255] * 32), 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_checksums_are_those_of_the_standard(crc32c, data, expected):
    assert crc32c(data) == expected


@pytest.mark.parametrize("size", [0, 1, 10, 1000])
def test_a_record_is_framed_as_tensorboard_frames_it(crc32c, size):
    data, file = np.random.default_rng(size).bytes(size), File()
    RecordWriter(file).write(data)
    assert frame(data) == file.written


def test_a_file_of_another_kind_is_written_in_its_own_way():
    class Other:
        def __init__(self):
            self.calls = []

        def add_event(self, event):
            self.calls.append(event)

        def flush(self):
            self.calls.append("flush")

    other, event = Other(), Event(step=1)
    append(other, event.SerializeToString())
    assert other.calls == [event, "flush"]


def test_scalars_that_the_user_adds_stand_in_the_same_file(tmp_path):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    writer = writer_for(logger)
    writer.write({"train/loss": 0.5}, Axes(None, 1, 0.0))
    logger.experiment.add_scalar("mine", 2.0, 1)
    writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    logger.finalize("success")
    assert len(list(tmp_path.glob("events*"))) == 1
    scalars = tensorboard_scalars(tmp_path)
    assert scalars["train/loss"] == [(1, 0.5), (2, 0.25)]
    assert scalars["mine"] == [(1, 2.0)]


def torn(monkeypatch, *, at):
    """Has TensorBoard's file write half of the record number ``at`` and then fail."""
    write, calls = gfile.GFile.write, []

    def half(self, data):
        calls.append(data)
        if len(calls) == at:
            write(self, data[: len(data) // 2])
            raise OSError(5, "Input/output error")
        return write(self, data)

    monkeypatch.setattr(gfile.GFile, "write", half)


def test_half_a_record_is_removed(tmp_path, monkeypatch):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    writer = writer_for(logger)
    writer.write({"train/loss": 0.5}, Axes(None, 1, 0.0))
    torn(monkeypatch, at=1)
    with pytest.raises(OSError, match="Input/output error"):
        writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    writer.write({"train/loss": 0.125}, Axes(None, 3, 0.0))
    assert tensorboard_scalars(tmp_path)["train/loss"] == [(1, 0.5), (3, 0.125)]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # of TensorBoard's own thread
def test_half_a_record_of_tensorboard_s_own_thread_is_removed(tmp_path, monkeypatch):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    writer = writer_for(logger)
    writer.write({"train/loss": 0.5}, Axes(None, 1, 0.0))
    torn(monkeypatch, at=1)
    logger.experiment.add_scalar("mine", 2.0, 1)
    with pytest.raises(OSError, match="Input/output error"):
        for _ in range(1000):  # the thread empties its queue before it tells that it failed
            writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    writer._file.event_writer._async_writer._worker.join()  # it reports its fault when it ends
    writer.recover()
    writer.write({"train/loss": 0.125}, Axes(None, 3, 0.0))
    assert tensorboard_scalars(tmp_path)["train/loss"][-1] == (3, 0.125)
    assert "mine" not in tensorboard_scalars(tmp_path)


def test_a_file_that_stays_torn_takes_no_more(tmp_path, monkeypatch):
    logger = TensorBoardLogger(tmp_path, name="", version="")
    writer = writer_for(logger)
    writer.write({"train/loss": 0.5}, Axes(None, 1, 0.0))
    torn(monkeypatch, at=1)

    def no_truncate(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "truncate", no_truncate)
    with pytest.raises(OSError, match="Input/output error"):
        writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    with pytest.raises(OSError, match="ends in half a record"):
        writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    writer.recover()
    writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
    assert tensorboard_scalars(tmp_path)["train/loss"] == [(1, 0.5), (2, 0.25)]


def test_records_of_two_threads_do_not_interleave(tmp_path, monkeypatch):
    """Each record is written in three parts, and the other thread gets its chance between them."""
    logger = TensorBoardLogger(tmp_path, name="", version="")
    writer = writer_for(logger)
    writer.write({"train/loss": 0.0}, Axes(None, 0, 0.0))
    write, inside = gfile.GFile.write, threading.Event()

    def in_parts(self, data):
        for start in range(0, len(data), len(data) // 3 + 1):
            write(self, data[start : start + len(data) // 3 + 1])
            inside.set()
            inside.wait(0.001)

    monkeypatch.setattr(gfile.GFile, "write", in_parts)
    added = threading.Thread(target=lambda: [logger.experiment.add_scalar("mine", 1.0, at) for at in range(40)])
    added.start()
    for at in range(1, 40):
        writer.write({"train/loss": 0.5}, Axes(None, at, 0.0))
    added.join()
    logger.finalize("success")
    scalars = tensorboard_scalars(tmp_path)
    assert [step for step, _ in scalars["train/loss"]] == list(range(40))
    assert [step for step, _ in scalars["mine"]] == list(range(40))


def test_the_file_after_a_fault_is_read_after_the_one_before(tmp_path):
    """Its number may be 10 where the one before has 9, in the same second: names are compared as text."""
    for at in range(12):
        folder = tmp_path / str(at)
        writer = writer_for(TensorBoardLogger(folder, name="", version=""))
        writer.write({"train/loss": 0.5}, Axes(None, 1, 0.0))
        writer.recover()
        writer.write({"train/loss": 0.25}, Axes(None, 2, 0.0))
        assert tensorboard_scalars(folder)["train/loss"] == [(1, 0.5), (2, 0.25)]


def test_the_file_after_a_fault_is_cut_back_with_the_one_before(tmp_path):
    writer = writer_for(TensorBoardLogger(tmp_path, name="", version=""))
    writer.begin(0)
    writer.write({"train/loss": 1.0}, Axes(None, 1, 0.0))
    checkpoint = writer.state_dict()
    for step in (2, 3):
        writer.recover()
        writer.write({"train/loss": 2.0}, Axes(None, step, 0.0))
    resumed = writer_for(TensorBoardLogger(tmp_path, name="", version=""))
    resumed.load_state_dict(checkpoint)
    resumed.resume(1)
    resumed.write({"train/loss": 3.0}, Axes(None, 2, 0.0))
    assert tensorboard_scalars(tmp_path)["train/loss"] == [(1, 1.0), (2, 3.0)]
