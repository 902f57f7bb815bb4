"""The records of W&B's run files, written here as LevelDB's log_format.md has it."""

import struct
import zlib

import pytest

from puffer_callbacks.values.leveldb_log import log_records

FILE_HEADER, BLOCK, HEADER = b":W&B\0\0\0", 32768, 7
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4
LONG = bytes(range(256)) * 300  # 76,800 bytes: in three blocks


def written(records):
    """A log, and where each of its parts begins."""
    log, starts = FILE_HEADER, []
    for record in records:
        is_first, rest = True, record
        while is_first or rest:
            left = BLOCK - len(log) % BLOCK
            if left < HEADER:
                log, left = log + bytes(left), BLOCK
            part, rest = rest[: left - HEADER], rest[left - HEADER :]
            kind = (FIRST if rest else FULL) if is_first else (MIDDLE if rest else LAST)
            starts.append(len(log))
            checksum = zlib.crc32(bytes([kind]) + part)
            log += struct.pack("<IHB", checksum, len(part), kind) + part
            is_first = False
    return log, starts


@pytest.mark.parametrize("left", [0, 1, 6, 7, 8, 100])
def test_records_are_whole_wherever_a_block_ends(left):
    first = b"x" * (BLOCK - len(FILE_HEADER) - HEADER - left)
    records, damaged = [first, b"second", LONG, b"fourth", b""], []
    log, _ = written(records)
    assert list(log_records(log, damaged)) == records
    assert damaged == []


def test_after_damage_reading_goes_on_at_the_next_block():
    log, starts = written([b"first", LONG, b"in the last part's block"])
    damaged, middle = [], starts[2] + HEADER + 5
    log = log[:middle] + b"?" + log[middle + 1 :]
    assert list(log_records(log, damaged)) == [b"first", b"in the last part's block"]
    assert damaged == [starts[2]]


def test_a_record_that_is_cut_short_is_left_out():
    log, starts = written([b"first", b"second"])
    for end in (len(log) - 1, starts[1] + HEADER):
        damaged = []
        assert list(log_records(log[:end], damaged)) == [b"first"]
        assert damaged == [starts[1]]
    assert list(log_records(log[: starts[1] + 3])) == [b"first"]
