"""A cause of trouble."""

from typing import NamedTuple


class Cause(NamedTuple):
    """What may be wrong, and what to change.

    Args:
        text: what is wrong, as a finding lists it.
        remedy: what to change.
        needs_advantages: whether only algorithms that learn from advantages can have it: PPO, A2C and their like.
    """

    text: str
    remedy: str
    needs_advantages: bool = False
