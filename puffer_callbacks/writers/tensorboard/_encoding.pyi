"""Bytes of an event file."""

def crc32c(data: bytes, /) -> int:
    """The CRC-32C of bytes."""

def histogram(
    tag: bytes, bins: bytes, counts: bytes, low: float, high: float, sum: float, squares: float, edges: int, /
) -> bytes:
    """A histogram as the field ``value`` of a ``Summary``.

    Args:
        tag: in UTF-8.
        bins: int32, ascending.
        counts: int64, one for each bin.
        low: minimum.
        high: maximum.
        sum: of the values.
        squares: sum of their squares.
        edges: the address of float64, the left edge of bin 0, amid those of all others.
    """
