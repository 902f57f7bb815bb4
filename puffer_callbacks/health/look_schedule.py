"""Which rollouts of a run are looked at, and when it is judged."""

_DENSE_BITS = 2
_MAX_INTERVAL = 64
_FIRST_VERDICT = 6
_CHECKS_BITS = 4


def is_check_due(rollout: int) -> bool:
    """Whether the rules that cost little are due: at each of the first 15 rollouts, then 8 times a doubling.

    Args:
        rollout: its number, 1 for the first.

    Example:
        >>> [rollout for rollout in range(12, 76) if is_check_due(rollout)]
        [12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48, 52, 56, 60, 64, 72]
    """
    return rollout % _interval(rollout, _CHECKS_BITS) == 0


def _interval(rollout: int, bits: int) -> int:
    """A power of two that doubles as the rollouts do: 2 to the ``bits - 1`` multiples lie in each doubling."""
    return 1 << max(0, rollout.bit_length() - bits)


class LookSchedule:
    """Looks at each of the first 4 rollouts, at every second one up to the 8th, at every fourth up to the 16th, ….

    Most faults are there from the first update on, so looks are dense where they cost little altogether. The interval
    ends at 64 rollouts. A verdict is due at every second look, from the sixth on.

    Example:
        >>> schedule = LookSchedule()
        >>> [rollout for rollout in range(1, 300) if schedule.fires(rollout)]
        [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
    """

    def __init__(self) -> None:
        self.looks = 0
        """How often it has fired."""

    def fires(self, rollout: int) -> bool:
        """Whether to look at a rollout.

        Args:
            rollout: its number, 1 for the first.
        """
        fired = rollout % min(_interval(rollout, _DENSE_BITS), _MAX_INTERVAL) == 0
        self.looks += fired
        return fired

    @property
    def verdict_is_due(self) -> bool:
        """Whether the run is to be judged at this look."""
        return self.looks >= _FIRST_VERDICT and self.looks % 2 == 0
