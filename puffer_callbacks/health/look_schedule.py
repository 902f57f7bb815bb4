"""Which rollouts of a run are looked at, and when it is judged."""

_DENSE_BITS = 3
_LOOKS_A_VERDICT = 4


class LookSchedule:
    """Looks at each of the first 7 rollouts, at every second one up to the 15th, at every fourth up to the 31st, ….

    So there are always 4 looks and more in the latest half of a run, and their cost vanishes as it goes on: most
    faults are there from the first update on. A verdict is due at every fourth look.

    Example:
        >>> schedule = LookSchedule()
        >>> [rollout for rollout in range(1, 80) if schedule.fires(rollout)]
        [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    """

    def __init__(self) -> None:
        self.looks = 0
        """How often it has fired."""

    def fires(self, rollout: int) -> bool:
        """Whether to look at a rollout.

        Args:
            rollout: its number, 1 for the first.
        """
        interval = 1 << max(0, rollout.bit_length() - _DENSE_BITS)
        fired = rollout % interval == 0
        self.looks += fired
        return fired

    @property
    def verdict_is_due(self) -> bool:
        """Whether the run is to be judged at this look."""
        return self.looks >= 2 * _LOOKS_A_VERDICT and self.looks % _LOOKS_A_VERDICT == 0
