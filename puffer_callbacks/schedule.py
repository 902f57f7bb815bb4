"""``Every``: a schedule that fires on crossing a multiple, never on divisibility; and checks of options."""

from operator import index
from typing import SupportsIndex


def check_counts(*, at_least: int = 1, **counts: object) -> None:
    """Check that each argument is an integer of at least 1, or of another limit.

    Args:
        at_least: the limit.
        **counts: name to value.

    Raises:
        TypeError: if one is not an integer.
        ValueError: if one is below 1.

    Example:
        >>> check_counts(num_envs=4, num_samples="6")
        Traceback (most recent call last):
        TypeError: num_samples: expected an integer of at least 1, got '6' (str)
    """
    expected = f"expected an integer of at least {at_least}"
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, SupportsIndex):
            raise TypeError(f"{name}: {expected}, got {value!r} ({type(value).__name__})")
        if index(value) < at_least:
            raise ValueError(f"{name}: {expected}, got {value}")


def check_flags(**flags: object) -> None:
    """Check that each argument is true or false, or a number that equals one of them: the string "false" is true.

    Args:
        **flags: name to value.

    Raises:
        TypeError: if one is not.

    Example:
        >>> check_flags(weights=True, gradients="false")
        Traceback (most recent call last):
        TypeError: gradients: expected True or False, got 'false' (str)
    """
    for name, value in flags.items():
        if value not in (True, False):
            raise TypeError(f"{name}: expected True or False, got {value!r} ({type(value).__name__})")


class Every:
    """A schedule that fires when a counter *crosses* a multiple of ``n``.

    A counter that jumps by a batch of 256 never satisfies ``step % 1000 == 0``; it does cross 1000, 2000, ….
    However far it jumps, one call fires at most once.

    While ``multiplier`` is above 1 it fires at every so-many-th multiple only.

    Args:
        n: the interval, at least 1, in the unit of the counter.
        at_start: whether it fires at the counter's first step too.

    Raises:
        TypeError: if ``n`` is not an integer.
        ValueError: if ``n`` is below 1.

    Example:
        >>> every = Every(1000)
        >>> [step for step in range(0, 2561, 256) if every.fires(step)]
        [1024, 2048]
    """

    def __init__(self, n: SupportsIndex, *, at_start: bool = False) -> None:
        if isinstance(n, bool) or not hasattr(n, "__index__"):
            raise TypeError(f"expected an interval that is an integer, got {n!r} ({type(n).__name__})")
        self.n = index(n)
        if self.n < 1:
            raise ValueError(f"expected an interval of at least 1, got {n}")
        self.at_start = at_start
        self._loaded: int | None = None
        self.reset()

    def __repr__(self) -> str:
        return f"Every({self.n})"

    def next_after(self, last: int) -> int:
        """The first count at which it fires, if it was last asked at ``last``."""
        if self.at_start and last == 0:
            return 1
        interval = self.n * self.multiplier
        return (last // interval + 1) * interval

    @property
    def next(self) -> int:
        """The first count at which it fires."""
        return self.next_after(self._last)

    def is_due(self, count: int) -> bool:
        """Whether ``fires(count)`` would be true, without moving the schedule."""
        last = self._last if count >= self._last else max(count - 1, 0)  # a counter that began anew
        return count >= self.next_after(last)

    def fires(self, count: int) -> bool:
        """Move the counter to ``count``; returns whether it crossed a multiple of ``n`` on the way."""
        fired = self.is_due(count)
        self._last = count
        return fired

    def reset(self) -> None:
        """Begin anew, as in another run: at 0, and with the interval ``n``."""
        self.multiplier, self._last, self._loaded = 1, 0, None

    def resume_at(self, count: int) -> None:
        """Put the counter at ``count`` without firing, as at the start of a run, or where a checkpoint had it."""
        self._last, self._loaded = count if self._loaded is None else self._loaded, None

    @property
    def last(self) -> int:
        """Where the counter was last put, for a checkpoint: a firing may be overdue there."""
        return self._last if self._loaded is None else self._loaded

    def load(self, last: int | None) -> None:
        """Have the next ``resume_at`` continue from a checkpoint's ``last``, or from none."""
        self._loaded = last
