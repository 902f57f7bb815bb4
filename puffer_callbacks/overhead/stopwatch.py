"""``Stopwatch``: the share of a run's time that recording takes."""

from time import perf_counter


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
        """Start from zero; a block that is open now counts from here."""
        self._started = self.entered = perf_counter()
        self.inside = 0.0

    def __enter__(self) -> None:
        if self.depth == 0:
            self.entered = perf_counter()
        self.depth += 1

    def __exit__(self, *_: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.inside += perf_counter() - self.entered

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return perf_counter() - self._started

    def overhead(self, in_threads: float = 0.0) -> float:
        """The measured share of the elapsed time, in [0, 1].

        It is a lower bound of what a run without recording would save: what recording displaces from the processor's
        caches is paid for outside of its blocks.

        Args:
            in_threads: CPU seconds of writer threads, which take turns with the training thread.
        """
        now = perf_counter()
        inside = self.inside + (now - self.entered if self.depth else 0.0) + in_threads
        return min(1.0, inside / max(now - self._started, 1e-9))
