"""The records of a W&B run file: LevelDB's log format (github.com/google/leveldb, doc/log_format.md).

The file begins with a header of 7 bytes. A record is cut into parts that do not cross a block of 32 KiB; each has a
checksum (CRC-32 of its kind and its data), a length and a kind.
"""

import struct
import zlib
from collections.abc import Iterator

from puffer_callbacks.runs.contents import Contents

MAGIC = b":W&B"
_START, _BLOCK = 7, 32768
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _LAST = 1, 2, 4


def wandb_records(data: bytes, name: str, contents: Contents) -> Iterator[bytes]:
    """Every whole record, serialized. After damage, reading goes on at the next block.

    Args:
        data: the content of a ``run-<id>.wandb`` file.
        name: the file's name, for the problems.
        contents: its ``problems`` gain a line for each place that could not be read.
    """
    at = _START
    parts: bytes | None = None
    while at + _HEADER.size <= len(data):
        left = _BLOCK - at % _BLOCK
        if left < _HEADER.size:  # too short for a header: padding
            at += left
            continue
        checksum, length, kind = _HEADER.unpack_from(data, at)
        part = data[at + _HEADER.size : at + _HEADER.size + length]
        if len(part) < length or zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            contents.problems.append(f"{name}: the record at byte {at} is cut short or damaged; it was left out")
            at, parts = at + left, None
            continue
        if kind in (_FULL, _FIRST):
            parts = part
        elif parts is not None:  # else its first part was left out
            parts += part
        if kind in (_FULL, _LAST) and parts is not None:
            yield parts
        at += _HEADER.size + length
