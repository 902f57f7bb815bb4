"""What went wrong beside the run: said once, counted always."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 2000
"""Characters of an error's words."""


class PufferWarning(UserWarning):
    """Something could not be recorded as asked; training goes on."""


def format_error(error: BaseException) -> str:
    """An exception as words on one line, also one that cannot be shown or has nothing to say.

    Example:
        >>> format_error(OSError("no space left"))
        'OSError: no space left'
    """
    try:
        words = " ".join(str(error).split())
    except Exception:
        words = ""
    kind = type(error).__name__
    return f"{kind}: {words[:_LONGEST]}" if words else kind


class Faults:
    """Counts faults by name and warns about each name once.

    Args:
        strict: raise instead of warning.

    Example:
        >>> faults = Faults()
        >>> with warnings.catch_warnings(record=True) as said:
        ...     warnings.simplefilter("always")
        ...     faults.report("disk", "no space left")
        ...     faults.report("disk", "no space left")
        >>> len(said), faults.counts["disk"]
        (1, 2)
    """

    def __init__(self, *, strict: bool = False) -> None:
        self.strict = strict
        self.counts: Counter[str] = Counter()
        self._mute = False

    def reset(self) -> None:
        """Warn again about every name, as in a new run."""
        self.counts.clear()

    @contextmanager
    def suppressed(self) -> Iterator[None]:
        """While the run ends with an exception: nothing is raised in its place, and what was raised is not said."""
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
