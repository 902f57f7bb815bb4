"""The records of a log in LevelDB's format (github.com/google/leveldb, doc/log_format.md), as W&B's run files are.

W&B's files begin with a header of 7 bytes. A record is cut into parts that do not cross a block of 32 KiB; each has a
checksum (CRC-32 of its kind and its data), a length and a kind.
"""

import struct
import zlib
from collections.abc import Iterator

_START, _BLOCK = 7, 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _LAST = 1, 2, 4


def log_records(content: bytes, damaged: list[int] | None = None) -> Iterator[bytes]:
    """Every whole record, serialized. After damage, reading goes on at the next block.

    Args:
        content: of a ``run-<id>.wandb`` file.
        damaged: gains the position of each record that is cut short or damaged.
    """
    at = _START
    parts: bytes | None = None
    while at + _HEADER.size <= len(content):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:  # too short for a header: padding
            at += left
            continue
        checksum, length, kind = _HEADER.unpack_from(content, at)
        part = content[at + _HEADER.size : at + _HEADER.size + length]
        if len(part) < length or zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            if damaged is not None:
                damaged.append(at)
            at, parts = at + left, None
            continue
        if kind in (_FULL, _FIRST):
            parts = part
        elif parts is not None:  # else its first part was left out
            parts += part
        if kind in (_FULL, _LAST) and parts is not None:
            yield parts
        at += _HEADER.size + length
