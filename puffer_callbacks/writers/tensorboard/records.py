"""Records of an event file, with checksums that take microseconds: TensorBoard's own take 0.1 µs a byte."""

import struct
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tensorboard.compat.proto.event_pb2 import Event

from puffer_callbacks.writers.tensorboard.compiled import IS_COMPILED, encoding

_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed (RFC 3720, appendix B.4)."""
_BLOCK = 256
_CHUNK = 256 * _BLOCK
_ONES = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """The CRC-32C of bytes (RFC 3720, appendix B.4).

    Example:
        >>> hex(crc32c(b"123456789"))  # the check value in the catalog of CRCs
        '0xe3069283'
    """
    return encoding.crc32c(data) if IS_COMPILED else in_blocks(data)


def in_blocks(data: bytes) -> int:
    """The same by NumPy.

    The checksum is linear: each byte contributes what depends on the byte and on how many follow. So a block of bytes
    is looked up in a table as a whole, and blocks are joined.
    """
    crc, table = _ONES, _byte_table()
    head = len(data) % _BLOCK
    for byte in data[:head]:
        crc = crc >> 8 ^ table[crc & 0xFF ^ byte]
    first, second, third, fourth = _head_tables()
    for start in range(head, len(data), _CHUNK):
        for remainder in _remainders(data[start : start + _CHUNK]):
            crc = first[crc & 0xFF] ^ second[crc >> 8 & 0xFF] ^ third[crc >> 16 & 0xFF] ^ fourth[crc >> 24] ^ remainder
    return crc ^ _ONES


def frame(data: bytes) -> bytes:
    """A record: its length, the data, and a masked checksum of each, as TensorFlow's ``TFRecord`` has them."""
    length = struct.pack("<Q", len(data))
    return b"".join([length, _masked(length), data, _masked(data)])


def append(event_writer: Any, event: bytes) -> None:
    """Add an event to the file of one of TensorBoard's event writers, and return when it is there.

    TensorBoard hands it to a thread of its own, which takes a fault with it when it dies; here it is written at
    once, after what the thread was given before. A writer of another kind does it in its own way.

    Args:
        event_writer: an ``EventFileWriter``.
        event: what to add, serialized.
    """
    queue: Any = getattr(event_writer, "_async_writer", None)
    record_writer = getattr(queue, "_writer", None)
    file: Any = getattr(record_writer, "_writer", None)
    is_known = type(record_writer).__module__ == "tensorboard.summary.writer.record_writer"
    if not (is_known and hasattr(file, "write") and hasattr(queue, "_lock")):
        event_writer.add_event(Event.FromString(event))
        event_writer.flush()
        return
    event_writer.flush()
    with queue._lock:
        file.write(frame(event))


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & _ONES)


def _remainders(data: bytes) -> list[int]:
    """What each block of whole blocks contributes."""
    blocks = np.frombuffer(data, np.uint8).reshape(-1, _BLOCK)
    found: list[int] = np.bitwise_xor.reduce(_contributions()[np.arange(_BLOCK), blocks], axis=1).tolist()
    return found


@cache
def _contributions() -> NDArray[np.uint32]:
    """What a byte contributes to its block's remainder, by its place in the block and its value [256, 256]."""
    table: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1 ^ (table & 1) * np.uint32(_POLYNOMIAL)).astype(np.uint32)
    places = [table]
    for _ in range(_BLOCK - 1):
        places.append(places[-1] >> 8 ^ table[places[-1] & 0xFF])
    return np.stack(places[::-1])


@cache
def _byte_table() -> list[int]:
    table: list[int] = _contributions()[-1].tolist()
    return table


@cache
def _head_tables() -> list[list[int]]:
    """What came before acts on a block as if it were part of its first four bytes."""
    tables: list[list[int]] = _contributions()[:4].tolist()
    return tables
