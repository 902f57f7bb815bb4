"""Event files of a run, cut back to the checkpoint that it resumes from.

TensorBoard itself would hide less: its data server ignores starts of sessions, and drops of each tag only what the run
writes again; its other reader drops later steps of the user's own axes too. Only the run's own files are cut: the one
that the checkpoint names, and those that have a link to it.
"""

import os
import sys
from contextlib import suppress

from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from puffer_callbacks.values.event_files import by_writer
from puffer_callbacks.writers.tensorboard.records import read_records

_MARK = "puffer_callbacks continues "
_MAX_BEFORE_LINK = 2**20
"""Bytes of a file in which a link is looked for."""


def link(file: str, size: int) -> bytes:
    """An event that names the file which its own continues, and where; readers show nothing of it.

    Args:
        file: the name of an event file.
        size: in bytes.
    """
    session = SessionLog(status=SessionLog.CHECKPOINT, msg=f"{_MARK}{size} {file}")
    event: bytes = Event(session_log=session).SerializeToString()
    return event


def cut_back(folder: str, *, file: str, size: int, last_step: int, row_tag: str) -> bool:
    """Remove what was written after a checkpoint, texts and the user's own events included.

    Args:
        folder: of the event files.
        file: the name of the checkpoint's; where it is not there, nothing is removed.
        size: what it had then, in bytes.
        last_step: of a session that continues an earlier part of the file, rows up to this step stay.
        row_tag: the tag that every row has.

    Returns:
        Whether the file was there.
    """
    if not os.path.isfile(os.path.join(folder, file)):
        return False
    ends = {file: size}
    _truncate(os.path.join(folder, file), size)
    for name in sorted(os.listdir(folder), key=by_writer):
        path = os.path.join(folder, name)
        with suppress(OSError):  # a file that cannot be read stays
            before, continued_at, start = _link_of(path) if name.startswith("events.out.tfevents") else ("", 0, 0)
            if before in ends:
                end = start if continued_at >= ends[before] else _end_of_rows(path, last_step, row_tag)
                ends[name] = end
                _truncate(path, end)
    return True


def _link_of(path: str) -> tuple[str, int, int]:
    """The file that a file continues, or none, where it does, and where the link stands."""
    for at, event in read_records(path, most=_MAX_BEFORE_LINK):
        if _MARK.encode() in event:
            message = _parsed(event).session_log.msg
            if message.startswith(_MARK):
                size, _, name = message.removeprefix(_MARK).partition(" ")
                return name, int(size), at
    return "", 0, 0


def _end_of_rows(path: str, last_step: int, row_tag: str) -> int:
    """Where the first row after a step begins."""
    mark = row_tag.encode()
    for at, data in read_records(path):
        if mark in data:
            event = _parsed(data)
            if event.step > last_step and any(value.tag == row_tag for value in event.summary.value):
                return at
    return sys.maxsize


def _parsed(data: bytes) -> Event:
    with suppress(Exception):  # google.protobuf's DecodeError: a foreign record
        return Event.FromString(data)
    return Event()


def _truncate(path: str, size: int) -> None:
    if size < os.stat(path).st_size:
        os.truncate(path, size)
