"""Schedules of callbacks: they fire on crossing a multiple, never on divisibility."""


class Every:
    """A schedule that fires when a counter *crosses* a multiple of ``n``.

    A counter that jumps by a batch of 256 rarely satisfies ``step % 1000 == 0``, but it crosses 1000, 2000, ….
    However far it jumps, one call fires at most once. ``multiplier`` widens the interval to
    ``multiplier * n``.

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
        """Whether ``fires(count)`` would return true; the schedule does not move."""
        interval = self.n * self.multiplier
        last = self._last if count >= self._last else count - 1  # the counter was reset
        return count // interval > last // interval

    @property
    def next(self) -> int:
        """The next count at which the schedule fires."""
        interval = self.n * self.multiplier
        return (self._last // interval + 1) * interval

    def fires(self, count: int) -> bool:
        """Move the counter to ``count``; true if it crossed a multiple of ``n`` on the way."""
        fired = self.is_due(count)
        self._last = count
        return fired

    def resume_at(self, count: int) -> None:
        """Set the counter to ``count`` without firing, as after loading a checkpoint."""
        self._last = count

    def rewind_to(self, count: int) -> None:
        """Move the counter back to ``count`` if it is ahead, as at the start of another run."""
        self._last = min(self._last, count)

    @property
    def last(self) -> int:
        """The count that was set last."""
        return self._last
