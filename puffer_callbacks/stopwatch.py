"""How much of the run's time goes into recording it."""

from time import perf_counter
from types import TracebackType


class Stopwatch:
    """Adds up the time inside its ``with`` blocks; of nested blocks the outermost counts.

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
        self.inside = 0.0

    def __enter__(self) -> None:
        if self.depth == 0:
            self.entered = perf_counter()
        self.depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.inside += perf_counter() - self.entered

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._began

    def overhead(self, beside: float = 0.0) -> float:
        """The time inside as a share of the time outside: what a run without it would save, 0 to ∞.

        Args:
            beside: seconds of other threads that count as inside, as they take their turn from the run.
        """
        now = perf_counter()
        inside = self.inside + (now - self.entered if self.depth else 0.0) + beside
        return inside / max(now - self._began - inside, 1e-9)
