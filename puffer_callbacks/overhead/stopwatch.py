"""How much of the run's time goes into recording it."""

from time import perf_counter
from types import TracebackType

MOST_DISPLACED = 3e-4
"""Seconds that one block can cost a run after its end, at most: by then all the caches are filled anew."""


class Stopwatch:
    """Adds up the time inside its ``with`` blocks; of nested blocks the outermost counts.

    A block also costs after its end: what the run had in the processor's caches has made room for it. Timed runs with
    and without (``tests.benchmarks.cost``) differ by about as much again as the blocks take, so short blocks count
    twice in ``overhead``.

    Example:
        >>> watch = Stopwatch()
        >>> with watch, watch:
        ...     pass
        >>> 0 < watch.inside < watch.elapsed
        True
    """

    def __init__(self) -> None:
        self.depth = 0
        self.restart()

    def restart(self) -> None:
        """Begin to count anew; the block that is open now is counted from here."""
        self._began = self.entered = perf_counter()
        self.inside = self.displaced = 0.0

    def __enter__(self) -> None:
        if self.depth == 0:
            self.entered = perf_counter()
        self.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.add(perf_counter() - self.entered)

    def add(self, spent: float, *, blocks: int = 1) -> None:
        """Count blocks that took so many seconds together."""
        self.inside += spent
        self.displaced += min(spent, MOST_DISPLACED * blocks)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._began

    def overhead(self, beside: float = 0.0) -> float:
        """What a run without the blocks would save, as a share of its time, 0 to ∞.

        Args:
            beside: seconds of other threads that count as inside, as they take their turn from the run.
        """
        now = perf_counter()
        inside = self.inside + self.displaced + (now - self.entered if self.depth else 0.0) + beside
        return inside / max(now - self._began - inside, 1e-9)
