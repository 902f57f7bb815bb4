"""When a callback fires: on crossing a multiple, never on divisibility."""


class Every:
    """A schedule that fires when a counter *crosses* a multiple of ``n``.

    A counter that jumps by a batch of 256 never satisfies ``step % 1000 == 0``; it does cross 1000, 2000, ….
    However far it jumps, one call fires at most once.

    While ``multiplier`` is above 1 it fires at every so-many-th multiple only.

    Args:
        n: the interval, at least 1, in the unit of the counter.

    Raises:
        TypeError: if ``n`` is not an integer.
        ValueError: if ``n`` is below 1.

    Example:
        >>> every = Every(1000)
        >>> [step for step in range(0, 2561, 256) if every.fires(step)]
        [1024, 2048]
    """

    def __init__(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"expected an interval that is an integer, got {n!r} ({type(n).__name__})")
        if n < 1:
            raise ValueError(f"expected an interval of at least 1, got {n}")
        self.n = n
        self.multiplier = 1
        self._last = 0

    def __repr__(self) -> str:
        return f"Every({self.n})"

    def is_due(self, count: int) -> bool:
        """Whether ``fires(count)`` would be true, without moving the schedule."""
        interval = self.n * self.multiplier
        last = self._last if count >= self._last else count - 1  # a counter that began anew
        return count // interval > last // interval

    @property
    def next(self) -> int:
        """The first count at which it fires."""
        interval = self.n * self.multiplier
        return (self._last // interval + 1) * interval

    def fires(self, count: int) -> bool:
        """Move the counter to ``count`` and tell whether it crossed a multiple of ``n`` on the way."""
        fired = self.is_due(count)
        self._last = count
        return fired

    def restart(self, count: int) -> None:
        """Put the counter at ``count`` without firing, as after a resume."""
        self._last = count

    def begin(self, count: int) -> None:
        """Begin a run at ``count``; one that was further was another's."""
        self._last = min(self._last, count)

    @property
    def last(self) -> int:
        """Where the counter was last put."""
        return self._last
