"""Records of an event file, written whole or not at all."""

import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import crc32c as _tensorboard_crc32c

_LENGTH = struct.Struct("<Q")
_HEADER, _FOOTER = 12, 4
"""Bytes before and after the data of a record: its length and a checksum, and a checksum."""


def append(event_writer: Any, event: bytes) -> None:
    """Add an event to a file of TensorBoard's, and return when the operating system has it.

    TensorBoard hands events to a thread of its own, which a fault ends; here the event is written at once, after
    all that the thread was given before. A file of another kind is written in its own way.

    Args:
        event_writer: an ``EventFileWriter``.
        event: the serialized event.

    Raises:
        OSError: if it could not be written; the file is then as it was.
    """
    file = _record_file(event_writer)
    if file is None:
        event_writer.add_event(Event.FromString(event))
        event_writer.flush()
    else:
        event_writer.flush()
        file.write(frame(event))


def frame(data: bytes) -> bytes:
    """A record: its length, the data, and a masked checksum of each, as TensorFlow's ``TFRecord`` has them.

    Args:
        data: any bytes.
    """
    length = _LENGTH.pack(len(data))
    return b"".join([length, _masked(length), data, _masked(data)])


def read_records(path: str, *, most: int = sys.maxsize) -> Iterator[tuple[int, bytes]]:
    """Where each record of a file begins, and its data; up to a torn one. Checksums are not looked at.

    Args:
        path: of an event file.
        most: bytes of the file in which records begin.
    """
    with open(path, "rb") as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at + _HEADER + _FOOTER <= size and at < most:
            (length,) = _LENGTH.unpack_from(file.read(_HEADER))
            end = at + _HEADER + length + _FOOTER
            if end > size:
                return
            yield at, file.read(length + _FOOTER)[:length]
            at = end


class WholeRecordFile:
    """A file of TensorBoard's that gets each record whole or not at all, by one thread at a time.

    Half a record would hide every record behind it: TensorBoard's readers stop there.

    Args:
        file: a ``GFile`` that appends to a local file at each ``write``.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._lock = Lock()
        self._is_torn = False

    def write(self, record: bytes) -> None:
        """Append a record.

        Raises:
            OSError: if that fails, or if half a record could not be removed after an earlier failure.
        """
        with self._lock:
            if self._is_torn:
                raise OSError(f"{os.fsdecode(self._file.filename)} ends in half a record")
            size = os.stat(self._file.filename).st_size
            try:
                self._file.write(record)
            except BaseException:
                self._is_torn = True
                with suppress(OSError):
                    os.truncate(self._file.filename, size)
                    self._is_torn = False
                raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _record_file(event_writer: Any) -> WholeRecordFile | None:
    """The file of an event writer, shared with TensorBoard's own thread; ``None`` for one of another kind."""
    record_writer: Any = getattr(getattr(event_writer, "_async_writer", None), "_writer", None)
    if type(record_writer).__module__ != "tensorboard.summary.writer.record_writer":
        return None
    file = record_writer._writer
    if isinstance(file, WholeRecordFile):
        return file
    if not getattr(file, "write_started", False) or b"://" in file.filename:  # buffered, or not local
        return None
    record_writer._writer = whole = WholeRecordFile(file)
    return whole


def _masked(data: bytes) -> bytes:
    crc = _crc32c()(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _crc32c() -> Callable[[bytes], int]:
    """The CRC-32C of bytes (RFC 3720, appendix B.4): 50 ns a kilobyte by ``google-crc32c``, else 0.3 ms."""
    checksum: Callable[[bytes], int]
    try:
        checksum = import_module("google_crc32c").value  # an optional extra
    except ImportError:
        checksum = _tensorboard_crc32c
    return checksum
