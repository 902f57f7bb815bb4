"""Tags that every backend can store and every reader can show."""

import re
from functools import lru_cache
from zlib import crc32

_LONGEST = 10_000
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Control characters, line separators and lone surrogates: no file format takes all of them."""


@lru_cache(maxsize=16384)
def sanitize_tag(tag: str) -> str:
    """The tag, with a mark in place of what no backend can store.

    Args:
        tag: any string.

    Example:
        >>> sanitize_tag("train/loss"), sanitize_tag("two\\nlines"), sanitize_tag("")
        ('train/loss', 'two\ufffdlines', 'unnamed')
    """
    tag = _UNPRINTABLE.sub("\ufffd", tag)
    if len(tag) > _LONGEST:
        return f"{tag[:_LONGEST]}…{crc32(tag.encode()):08x}"
    return tag if tag.strip() else "unnamed"
