"""The records of an event file: where they begin and end, and which of them are whole.

A record is its length (uint64), a checksum of that, the data, and a checksum of the data: TensorFlow's ``TFRecord``.
Checksums are computed for thousands of records together, one byte of each at a time.
"""

from collections.abc import Iterator
from functools import cache
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.runs.contents import Contents

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.int64]

_LENGTH = Struct("<Q")
_HEADER, _CHECKSUM = 12, 4
_POLYNOMIAL = 0x82F63B78
"""Castagnoli's, bits reversed (RFC 3720, appendix B.4)."""
_AT_ONCE = 1 << 16
"""Records that are checked before the first of them is returned; after damage the rest is checked again."""
_TOGETHER = 1 << 14
"""Records whose checksums are computed together: they fit the processor's cache."""
_CHECKED = 1 << 12
"""Bytes of the longest record whose data is checked: longer ones are pictures, and their own format shows damage."""
_WINDOW = 1 << 20


def whole_records(data: bytes, name: str, contents: Contents) -> Iterator[tuple[int, int]]:
    """Start and end of the data of each record that is whole.

    After damage, reading goes on at the next header with a valid checksum.

    Args:
        data: the content of an event file.
        name: the file's name, for the problems.
        contents: its ``problems`` gain a line for each place that could not be read.
    """
    at, content = 0, np.frombuffer(data, np.uint8)
    while at < len(data):
        starts, ends = _frames(data, at)
        whole = _count_whole(content, starts, ends)
        if whole:
            yield from zip(starts[:whole].tolist(), ends[:whole].tolist(), strict=True)
            at = int(ends[whole - 1]) + _CHECKSUM
        else:
            after = _next_header(content, at + 1)
            what = "cut short" if after == len(data) else "damaged"
            contents.problems.append(f"{name}: {what} at byte {at}; {after - at} bytes were left out")
            at = after


def _frames(data: bytes, at: int) -> tuple[Offsets, Offsets]:
    """Starts and ends of the data of records that follow one another, if their lengths are right."""
    starts: list[int] = []
    ends: list[int] = []
    unpack, last = _LENGTH.unpack_from, len(data) - _CHECKSUM
    while at + _HEADER <= last and len(starts) < _AT_ONCE:
        (length,) = unpack(data, at)
        start, end = at + _HEADER, at + _HEADER + length
        if end > last:
            break
        starts.append(start)
        ends.append(end)
        at = end + _CHECKSUM
    return np.array(starts, np.int64), np.array(ends, np.int64)


def _count_whole(content: Bytes, starts: Offsets, ends: Offsets) -> int:
    """How many records there are before the first with a wrong checksum."""
    is_whole = _headers_are_valid(content, starts - _HEADER)
    (short,) = np.nonzero(ends - starts <= _CHECKED)
    checksums = _checksums(content, starts[short], (ends - starts)[short])
    is_whole[short] &= checksums == _uint32_at(content, ends[short])
    return len(starts) if is_whole.all() else int(is_whole.argmin())


def _headers_are_valid(content: Bytes, offsets: Offsets) -> NDArray[np.bool_]:
    checksums = _checksums(content, offsets, np.full(len(offsets), _LENGTH.size))
    return np.equal(checksums, _uint32_at(content, offsets + _LENGTH.size))


def _next_header(content: Bytes, at: int) -> int:
    """Where the next valid header begins, the end of the file if there is none."""
    last = len(content) - _HEADER - _CHECKSUM
    for begin in range(at, last + 1, _WINDOW):
        offsets = np.arange(begin, min(begin + _WINDOW, last + 1))
        found = offsets[_headers_are_valid(content, offsets)]
        if len(found):
            return int(found[0])
    return len(content)


def _uint32_at(content: Bytes, offsets: Offsets) -> NDArray[np.uint32]:
    found: NDArray[np.uint32] = content[offsets[:, None] + np.arange(_CHECKSUM)].view("<u4").reshape(-1)
    return found


def _checksums(content: Bytes, starts: Offsets, lengths: Offsets) -> NDArray[np.uint32]:
    """The masked CRC-32C of each stretch of bytes."""
    found = np.empty(len(starts), np.uint32)
    order = np.argsort(-lengths, kind="stable")
    for begin in range(0, len(order), _TOGETHER):
        some = order[begin : begin + _TOGETHER]
        found[some] = _crc32c(content, starts[some], lengths[some])
    return ((found >> 15 | found << 17) + np.uint32(0xA282EAD8)).astype(np.uint32, copy=False)


def _crc32c(content: Bytes, starts: Offsets, lengths: Offsets) -> NDArray[np.uint32]:
    """The CRC-32C of stretches of descending lengths."""
    crc = np.full(len(starts), 0xFFFFFFFF, np.uint32)
    table = _table()
    counts = np.searchsorted(-lengths, -np.arange(int(lengths.max(initial=0))), side="left").tolist()
    for place, count in enumerate(counts):  # the first so many are longer than the place
        head = crc[:count]
        np.bitwise_xor(table[(head ^ content[starts[:count] + place]) & 0xFF], head >> 8, out=head)
    return crc ^ np.uint32(0xFFFFFFFF)


@cache
def _table() -> NDArray[np.uint32]:
    table: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1 ^ (table & 1) * np.uint32(_POLYNOMIAL)).astype(np.uint32)
    return table
