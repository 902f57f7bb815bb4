"""A block that costs and fails on its own account, not the run's."""

from time import perf_counter
from types import TracebackType

from puffer_callbacks.faults import Faults, PufferWarning, format_error
from puffer_callbacks.overhead.stopwatch import Stopwatch


class Guard:
    """Measures the time of a block and reports its exception instead of letting it end the run.

    Args:
        name: who is at work, for the report.
        stopwatch: where the time is added.
        faults: where an exception is reported; if strict, it is raised.
        own: where the time is added too, for a callback under the budget.

    Example:
        >>> with Guard("drawing", Stopwatch(), Faults(strict=True)):
        ...     raise OSError("no space left")
        Traceback (most recent call last):
        OSError: no space left
    """

    __slots__ = ("_faults", "_name", "_own", "_stopwatch")

    def __init__(self, name: str, stopwatch: Stopwatch, faults: Faults, own: Stopwatch | None = None) -> None:
        self._name = name
        self._stopwatch = stopwatch
        self._faults = faults
        self._own = own

    def __enter__(self) -> None:
        watch = self._stopwatch  # its own methods, written out: this is at every step
        if watch.depth == 0:
            watch.entered = perf_counter()
        watch.depth += 1
        if self._own is not None:
            self._own.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        watch = self._stopwatch
        watch.depth -= 1
        if watch.depth == 0:
            watch.add(perf_counter() - watch.entered)
        if self._own is not None:
            self._own.__exit__(kind, error, trace)
        return error is not None and self.contain(error)

    def contain(self, error: BaseException) -> bool:
        """Report an exception; tells whether that is all, or it is to be raised."""
        said = isinstance(error, PufferWarning)  # whoever turns warnings into errors asked for it
        if not isinstance(error, Exception) or said or self._faults.strict:
            return False
        reason = f"left out after {format_error(error)}; training goes on"
        self._faults.report(self._name, reason, error)
        return True
