"""TensorBoard's event files."""

from pathlib import Path
from struct import Struct
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from puffer_callbacks.runs.contents import Append, Contents
from puffer_callbacks.runs.summaries import add_summary
from puffer_callbacks.runs.tfrecords import whole_records

_WALL_TIME, _STEP, _SUMMARY, _VALUE = 0x09, 0x10, 0x2A, 0x0A
"""The bytes that announce a field: ``wall_time``, ``step`` and ``summary`` of an event, ``value`` of a summary."""
_FLOAT, _DOUBLE = Struct("<f"), Struct("<d")


def read_event_files(*paths: Path) -> Contents:
    """All that the event files of one run hold.

    The files follow one another as in TensorBoard. Where a session starts at a step, as a resumed run has it, what
    was written at that step and beyond is dropped.

    Args:
        paths: the files, in the order of their names.
    """
    contents = Contents()
    reader = _EventReader(contents)
    for path in paths:
        data = path.read_bytes()
        first, start = -1, 0
        for place, (start, end) in enumerate(whole_records(data, path.name, contents)):
            if place == 1:  # before it comes the version of the file
                first = start
            try:
                reader.add(data, start, end)
            except Exception as error:  # a damaged message fails in protobuf's ways and in ours
                contents.problems.append(f"{path.name}: the event at byte {start} cannot be read: {error}")
        if first >= 0 and data[first] == data[start] == _WALL_TIME:
            begin, end = (_DOUBLE.unpack_from(data, at + 1)[0] for at in (first, start))
            contents.sessions.append((min(begin, end), max(begin, end)))
    return contents


class _EventReader:
    """Adds events to the contents of a run.

    Nearly all values are scalars, and two of one tag differ in their last four bytes alone. So the bytes before those
    find the column, of a value in a row of many as of an event with one value, and no message is parsed.
    """

    def __init__(self, contents: Contents) -> None:
        self._contents = contents
        self._columns: dict[bytes, tuple[Append, Append, Append]] = {}
        self._plugins: dict[str, str] = {}

    def add(self, data: bytes, start: int, end: int) -> None:
        """Add the event that is serialized in a stretch of the data."""
        at, step, wall_time = start, 0, 0.0
        if data[at] == _WALL_TIME:
            (wall_time,) = _DOUBLE.unpack_from(data, at + 1)
            at += 9
        if at < end and data[at] == _STEP:
            step, at = _varint(data, at + 1)
        column = self._columns.get(data[at : end - 4])
        if column is not None:
            add_step, add_value, add_wall_time = column
            add_step(step)
            add_value(_FLOAT.unpack_from(data, end - 4)[0])
            add_wall_time(wall_time)
            return
        if at < end and data[at] == _SUMMARY:
            length, at = _varint(data, at + 1)
            if at + length == end:
                self._add_values(data, at, end, step, wall_time)
                return
        self._add_event(Event.FromString(data[start:end]))

    def _add_values(self, data: bytes, at: int, end: int, step: int, wall_time: float) -> None:
        """Add the values of a serialized summary."""
        columns, unpack = self._columns, _FLOAT.unpack_from
        while at < end:
            if data[at] != _VALUE:
                raise ValueError("expected a value of the summary")
            length, at = _varint(data, at + 1)
            at += length
            column = columns.get(data[at - length : at - 4])
            if column is not None:
                add_step, add_value, add_wall_time = column
                add_step(step)
                add_value(unpack(data, at - 4)[0])
                add_wall_time(wall_time)
            else:
                self._add_unknown(data[at - length : at], step, wall_time)

    def _add_unknown(self, serialized: bytes, step: int, wall_time: float) -> None:
        """Add a value whose first bytes are new; those of a scalar and nothing else are kept."""
        value = Summary.Value.FromString(serialized)
        scalar = Summary.Value(tag=value.tag, simple_value=value.simple_value)
        if value.WhichOneof("value") == "simple_value" and scalar.SerializeToString() == serialized:
            alone = Event(summary=Summary(value=[scalar])).SerializeToString()
            column = self._contents.column(value.tag)
            self._columns[serialized[:-4]] = self._columns[alone[:-4]] = column.appends
        self._add_value(value, step, wall_time)

    def _add_value(self, value: Any, step: int, wall_time: float) -> None:
        plugin = value.metadata.plugin_data.plugin_name
        if plugin:  # only the first value of a tag has one
            self._plugins.setdefault(value.tag, plugin)
        add_summary(self._contents, value, self._plugins.get(value.tag, ""), step, wall_time)

    def _add_event(self, event: Any) -> None:
        """Add an event that is no row of values, or has its fields in another order."""
        if event.HasField("session_log") and event.session_log.status == SessionLog.START:
            self._contents.drop_from(event.step)
        for value in event.summary.value:
            self._add_value(value, event.step, event.wall_time)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and where it ends."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while byte > 127:
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        shift += 7
    return number - (1 << 64) if number >> 63 else number, at + 1
