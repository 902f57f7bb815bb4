"""``GatherSchedule``: the training steps at which all ranks gather their rollouts."""

from collections.abc import Iterable

_MAX_WAIT = 16
"""The most optimizer steps between two gatherings while there are no rollouts."""


class GatherSchedule:
    """Predicts the first training step after each rollout, the same on every rank.

    Ranks gather at training steps, and may end their rollouts at different ones, or none at all. At each gathering
    they exchange when their rollouts ended; a steady number of updates between rollouts gives the next gathering.

    Example:
        >>> schedule = GatherSchedule()
        >>> schedule.gathered(1, [0]); schedule.gathered(2, []); schedule.gathered(4, [])
        >>> schedule.next, schedule.gathered(8, [4]), schedule.next
        (8, None, 9)
    """

    def __init__(self) -> None:
        self.resume_at(0)

    def resume_at(self, optimizer_steps: int) -> None:
        """Begin a fit at this step."""
        self.next = optimizer_steps + 1
        """The optimizer step at which ranks gather next."""
        self._last: int | None = None
        self._period, self._wait = 0, 1

    def gathered(self, optimizer_steps: int, ended_at: Iterable[int]) -> None:
        """Plan the next gathering.

        Args:
            optimizer_steps: now.
            ended_at: the optimizer steps at which rollouts of any rank ended since the last gathering.
        """
        steps = sorted(set(ended_at))
        for step in steps:
            if self._last is not None and step > self._last:
                self._period = step - self._last
            self._last = step
        self._wait = 1 if steps else min(2 * self._wait, _MAX_WAIT)
        expected = (self._last or 0) + self._period + 1 if steps and self._period else 0
        self.next = max(expected, optimizer_steps + self._wait)
