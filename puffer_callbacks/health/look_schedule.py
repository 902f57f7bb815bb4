"""Which rollouts of a run are looked at, and when it is judged."""

_DENSE_BITS = 4
_LOOKS_A_VERDICT = 4


class LookSchedule:
    """Looks at each of the first 15 rollouts, at every second one up to the 31st, at every fourth up to the 63rd, ….

    So there are always 8 looks and more in the latest half of a run, and their cost vanishes as it goes on: most
    faults are there from the first update on. A verdict is due at every fourth look.

    Example:
        >>> schedule = LookSchedule()
        >>> [rollout for rollout in range(1, 80) if schedule.fires(rollout)][14:]
        [15, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72]
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
