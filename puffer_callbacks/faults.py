"""``Faults`` of recording: each kind is reported once and counted always."""

import warnings
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

_MAX_LENGTH = 2000
"""Characters of an error message that are kept."""
_MAX_DEFERRED = 1024
"""Faults of other threads that are kept until the run's thread reports them."""


class PufferWarning(UserWarning):
    """Something could not be recorded as asked; training goes on."""


def format_error(error: BaseException) -> str:
    """An exception as one line of text, also one without a message or with a failing ``__str__``.

    Example:
        >>> format_error(OSError("no space left"))
        'OSError: no space left'
    """
    try:
        message = " ".join(str(error).split())
    except Exception:
        message = ""
    kind = type(error).__name__
    return f"{kind}: {message[:_MAX_LENGTH]}" if message else kind


class Faults:
    """Counts the faults of a run by name and warns about each name once.

    Args:
        strict: raise instead of warning.

    Example:
        >>> faults = Faults()
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     faults.report("disk", "no space left")
        ...     faults.report("disk", "no space left")
        >>> len(caught), faults.counts["disk"]
        (1, 2)
    """

    def __init__(self, *, strict: bool = False) -> None:
        if strict not in (True, False):
            raise TypeError(f"strict: expected True or False, got {strict!r} ({type(strict).__name__})")
        self.strict = strict
        self.counts: Counter[str] = Counter()
        self._mute = False
        self._deferred: deque[tuple[str, str, Exception | None]] = deque()

    def reset(self) -> None:
        """Warn again about every name, as in a new run."""
        self.counts.clear()
        self._deferred.clear()

    @contextmanager
    def suppressed(self) -> Iterator[None]:
        """While the run ends with an exception: raise nothing in its place, and do not warn about it again."""
        before = self.strict, self._mute
        self.strict, self._mute = False, self.strict or self._mute
        try:
            yield
        finally:
            self.strict, self._mute = before

    def report(self, name: str, reason: str, error: Exception | None = None) -> None:
        """Warn about ``name`` if it is the first time.

        Raises:
            ValueError: if strict; the given ``error`` itself where there is one.
        """
        if self.strict:
            raise error or ValueError(f"{name}: {reason}")
        self.counts[name] += 1
        if self.counts[name] == 1 and not self._mute:
            warnings.warn(f"{name}: {reason}", PufferWarning, stacklevel=3)

    def defer(self, name: str, reason: str, error: Exception | None = None) -> None:
        """Keep a fault for ``report_deferred``: any thread may call this, and it neither warns nor raises."""
        if len(self._deferred) < _MAX_DEFERRED:
            self._deferred.append((name, reason, error))

    def report_deferred(self) -> None:
        """Report the deferred faults, on the run's own thread.

        Raises:
            ValueError: if strict, as ``report`` does, for the first of them.
        """
        while self._deferred:
            self.report(*self._deferred.popleft())
