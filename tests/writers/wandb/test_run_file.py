"""What W&B has of a run already, read from a file that a crash or a disk has damaged."""

import struct
import zlib

from wandb.proto.wandb_internal_pb2 import HistoryItem, HistoryRecord, Record

from puffer_callbacks.writers.wandb.run_file import read_history

BLOCK, FULL = 32768, 1


def framed(step: int) -> bytes:
    """A row as W&B writes it: checksum, length and kind before the message."""
    item = HistoryItem(key="time/env_steps", value_json=str(step))
    data = Record(history=HistoryRecord(item=[item])).SerializeToString()
    return struct.pack("<IHB", zlib.crc32(data, zlib.crc32(bytes([FULL]))), len(data), FULL) + data


def test_a_damaged_row_is_left_out_and_those_of_the_next_block_are_read(tmp_path):
    first_block = b":W&B\0\0\0" + framed(64) + framed(128).replace(b"128", b"928")
    path = tmp_path / "run-abc.wandb"
    path.write_bytes(first_block.ljust(BLOCK, b"\0") + framed(192))
    assert [row["time/env_steps"] for row in read_history(path)] == ["64", "192"]
