"""Protocol buffers, encoded by hand: long parts are joined as bytes, not parsed and written out again."""

from functools import lru_cache

from tensorboard.compat.proto.event_pb2 import Event

_SUMMARY = 5
"""The field of an ``Event`` that holds its ``Summary``."""


def field(number: int, content: bytes) -> bytes:
    """A field whose content has a length: its key, the length in groups of seven bits, the content.

    Args:
        number: of the field.
        content: its bytes.

    Example:
        >>> field(2, b"testing").hex()  # the example of Protocol Buffers' own documentation
        '120774657374696e67'
    """
    return _head(number, len(content)) + content


@lru_cache(maxsize=4096)
def _head(number: int, length: int) -> bytes:
    head = [number << 3 | 2]
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    return bytes((*head, length))


def event(step: int, wall_time: float, summary: bytes) -> bytes:
    """A serialized ``Event`` that holds a serialized ``Summary``.

    Args:
        step: the point on the x axis.
        wall_time: in seconds since the epoch.
        summary: serialized summaries; joined, they are one summary of all their values.

    Example:
        >>> Event.FromString(event(10, 0.5, b"")).step
        10
    """
    head: bytes = Event(step=step, wall_time=wall_time).SerializeToString()
    return head + field(_SUMMARY, summary)
