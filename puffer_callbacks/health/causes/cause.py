"""A cause of trouble."""

from typing import NamedTuple


class Cause(NamedTuple):
    """What may be wrong, and what to change.

    Args:
        text: what is wrong, as a finding lists it.
        remedy: what to change.
    """

    text: str
    remedy: str
