import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as by_tensorboard
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.summary.writer.record_writer import RecordWriter

from puffer_callbacks.axes import Axes
from puffer_callbacks.writers import writer_for
from puffer_callbacks.writers.tensorboard.records import append, crc32c, frame, in_blocks
from tests.support.reading import tensorboard_scalars


@given(st.binary(max_size=2000))
def test_checksums_are_tensorboard_s(data):
    assert crc32c(data) == in_blocks(data) == by_tensorboard(data)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 200_000])
def test_at_the_edges_of_blocks_and_chunks(size):
    data = np.random.default_rng(size).bytes(size)
    assert crc32c(data) == in_blocks(data) == by_tensorboard(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [  # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (bytes([255] * 32), 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
    ],
)
def test_the_standard_s_own_examples(data, expected):
    assert crc32c(data) == in_blocks(data) == expected


class File:
    def __init__(self):
        self.written = b""

    def write(self, data):
        self.written += data


def test_a_record_is_framed_as_tensorboard_frames_it():
    file = File()
    RecordWriter(file).write(b"some event")
    assert frame(b"some event") == file.written
    assert masked_crc32c(b"some event").to_bytes(4, "little") == file.written[-4:]


def test_a_writer_of_another_kind_writes_in_its_own_way():
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
