"""Event files cut back to where a run goes on."""

import os
import sys
from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event, SessionLog

_LENGTH = Struct("<Q")
_LARGEST_START = 64
_HEADER, _FOOTER = 12, 4
"""Bytes before and after the data of a record: its length and a checksum, and a checksum."""


def cut_back(path: str, *, size: int | None, is_later: bool, last_step: int, row_tag: str) -> None:
    """Remove what was written to an event file after a checkpoint, words and the user's own events included.

    TensorBoard itself would hide less: its data server knows no starts of sessions, and drops of each tag only what
    the run writes again.

    Args:
        path: of the file.
        size: what the checkpoint's file had then, in bytes; ``None`` for another file.
        is_later: whether it was begun after that file: then it ends before a session of ours that starts in it.
        last_step: it ends before the first row after this step, too.
        row_tag: a tag that every row of ours has; what others write has steps of another axis.
    """
    if size is None:
        mark = row_tag.encode()
        with open(path, "rb") as file:
            ends = (
                at
                for at, event in _records(file)
                if (mark in event and Event.FromString(event).step > last_step) or (is_later and _is_start(event))
            )
            size = next(ends, sys.maxsize)
    if size < os.stat(path).st_size:
        os.truncate(path, size)


def _is_start(event: bytes) -> bool:
    return len(event) < _LARGEST_START and Event.FromString(event).session_log.status == SessionLog.START


def _records(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Where each whole record begins, and its data."""
    at, size = 0, os.fstat(file.fileno()).st_size
    while at + _HEADER + _FOOTER <= size:
        (length,) = _LENGTH.unpack_from(file.read(_HEADER))
        end = at + _HEADER + length + _FOOTER
        if end > size:  # torn
            return
        yield at, file.read(length + _FOOTER)[:length]
        at = end
