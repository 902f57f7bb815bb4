"""Tags that every backend can store and every reader can display, and lists of names."""

import re
from collections.abc import Iterable
from functools import lru_cache
from zlib import crc32

_LONGEST = 10_000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators and lone surrogates: some file format rejects each of them."""


@lru_cache(maxsize=16384)
def sanitize_tag(tag: str) -> str:
    """The tag with U+FFFD in place of characters that a backend cannot store.

    Args:
        tag: any string; above 10,000 characters it is cut and ends in a checksum, an empty one becomes
            ``unnamed``.

    Example:
        >>> sanitize_tag("train/loss"), sanitize_tag("two\\nlines"), sanitize_tag("")
        ('train/loss', 'two\ufffdlines', 'unnamed')
    """
    tag = _UNPRINTABLE.sub("\ufffd", tag)
    if len(tag) > _LONGEST:
        return f"{tag[:_LONGEST]}…{crc32(tag.encode()):08x}"
    return tag if tag.strip() else "unnamed"


def as_names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """The names of an option: one string is one name, and ``None`` is none.

    Example:
        >>> as_names("train/*"), as_names(["x", "y"]), as_names(None)
        (('train/*',), ('x', 'y'), ())
    """
    return (names,) if isinstance(names, str) else tuple(names or ())
