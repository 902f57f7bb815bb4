"""Event files of a run, cut back to the checkpoint from which it goes on.

TensorBoard itself would hide less: its data server knows no starts of sessions, and drops of each tag only what the run
writes again. Files are cut that are known to be the run's: the one that the checkpoint names, and those that say that
they continue it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from struct import Struct

from tensorboard.compat.proto.event_pb2 import Event, SessionLog

_LENGTH = Struct("<Q")
_HEADER, _FOOTER = 12, 4
"""Bytes before and after the data of a record: its length and a checksum, and a checksum."""
_MARK = "puffer_callbacks continues "
_MAX_BEFORE_START = 2**20
"""Bytes of a file in which the start of a session is looked for."""


def session_start(step: int, *, file: str = "", size: int = 0) -> bytes:
    """An event from which readers hide what they know of this step and later ones.

    Args:
        step: the first of the session.
        file: the name of the event file that it continues, if it does.
        size: where it continues that file, in bytes.
    """
    link = f"{_MARK}{size} {file}" if file else ""
    event: bytes = Event(step=step, session_log=SessionLog(status=SessionLog.START, msg=link)).SerializeToString()
    return event


def cut_back(folder: str, *, file: str, size: int, last_step: int, row_tag: str) -> None:
    """Remove what was written after a checkpoint, words and the user's own events included.

    Args:
        folder: of the event files.
        file: the name of the checkpoint's; where it is not there, nothing is removed.
        size: what it had then, in bytes.
        last_step: of a session that continues an earlier part of the file, rows up to this step stay.
        row_tag: the tag by which rows are known.
    """
    if not os.path.isfile(os.path.join(folder, file)):
        return
    ends = {file: size}
    _truncate(os.path.join(folder, file), size)
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        with suppress(OSError):  # a file that cannot be read stays
            before, continued_at, start = _link(path) if name.startswith("events.out.tfevents") else ("", 0, 0)
            if before in ends:
                end = start if continued_at >= ends[before] else _end_of_rows(path, last_step, row_tag)
                ends[name] = end
                _truncate(path, end)


def _link(path: str) -> tuple[str, int, int]:
    """The file that a file continues, or none, where it does, and where its session starts."""
    for at, event in _records(path, most=_MAX_BEFORE_START):
        if _MARK.encode() in event:
            message = _parsed(event).session_log.msg
            if message.startswith(_MARK):
                size, _, name = message.removeprefix(_MARK).partition(" ")
                return name, int(size), at
    return "", 0, 0


def _end_of_rows(path: str, last_step: int, row_tag: str) -> int:
    """Where the first row after a step begins."""
    mark = row_tag.encode()
    for at, data in _records(path):
        if mark in data:
            event = _parsed(data)
            if event.step > last_step and any(value.tag == row_tag for value in event.summary.value):
                return at
    return sys.maxsize


def _records(path: str, *, most: int = sys.maxsize) -> Iterator[tuple[int, bytes]]:
    """Where each whole record begins, and its data."""
    with open(path, "rb") as file:
        at, size = 0, os.fstat(file.fileno()).st_size
        while at + _HEADER + _FOOTER <= size and at < most:
            (length,) = _LENGTH.unpack_from(file.read(_HEADER))
            end = at + _HEADER + length + _FOOTER
            if end > size:  # torn
                return
            yield at, file.read(length + _FOOTER)[:length]
            at = end


def _parsed(data: bytes) -> Event:
    with suppress(Exception):  # google.protobuf's DecodeError: a foreign record
        return Event.FromString(data)
    return Event()


def _truncate(path: str, size: int) -> None:
    if size < os.stat(path).st_size:
        os.truncate(path, size)
