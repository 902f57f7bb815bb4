"""A cause of trouble."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

Part = Literal[
    "dataset",  # of supervised training, which has no environment
    "environment",
    "actor",
    "critic",
    "advantages",
    "ratio",
    "entropy_bonus",
    "target_network",
    "exploration_rate",
    "action_noise",
    "temperature",
]
"""What an algorithm may have, so that it can go wrong there."""


class Cause(NamedTuple):
    """What may be wrong, and what to change.

    Args:
        text: what is wrong, as a finding lists it.
        remedy: what to change.
        needs: parts without which no algorithm can have this cause, and of which the words may speak.
        remedies: what to change instead where the algorithm has a part, the first of several.
    """

    text: str
    remedy: str
    needs: tuple[Part, ...] = ()
    remedies: Mapping[Part, str] = MappingProxyType({})

    def fits(self, parts: Collection[Part]) -> bool:
        """Whether an algorithm of these parts can have it."""
        return all(part in parts for part in self.needs)

    def remedy_for(self, parts: Collection[Part]) -> str:
        """What to change in an algorithm of these parts.

        Example:
            >>> Cause("it explores too little", "explore more", remedies={"action_noise": "raise it"}).remedy_for([])
            'explore more'
        """
        return next((remedy for part, remedy in self.remedies.items() if part in parts), self.remedy)
