"""``Guard``: a block whose time counts as overhead and whose exceptions do not end the run."""

from puffer_callbacks.faults import Faults, PufferWarning, format_error
from puffer_callbacks.overhead.stopwatch import Stopwatch


class Guard:
    """Measures the time of a block and reports its exception instead of raising it.

    Args:
        name: whose block it is, for the report.
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
        self._stopwatch.__enter__()
        if self._own is not None:
            self._own.__enter__()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        self._stopwatch.__exit__()
        if self._own is not None:
            self._own.__exit__()
        return error is not None and self.handle(error)

    def handle(self, error: BaseException) -> bool:
        """Report an exception. Returns whether it is dealt with; if not, it is to be raised."""
        reported = isinstance(error, PufferWarning)  # a user turned warnings into errors
        if not isinstance(error, Exception) or reported or self._faults.strict:
            return False
        reason = f"left out after {format_error(error)}; training goes on"
        self._faults.report(self._name, reason, error)
        return True
