"""What went wrong beside the run: said once, counted always."""

import warnings
from collections import Counter


class PufferWarning(UserWarning):
    """Something could not be recorded as asked; training goes on."""


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

    def report(self, name: str, reason: str, error: Exception | None = None) -> None:
        """Warn about ``name`` if it is the first time.

        Raises:
            ValueError: if strict; the given ``error`` itself where there is one.
        """
        if self.strict:
            raise error or ValueError(f"{name}: {reason}")
        self.counts[name] += 1
        if self.counts[name] == 1:
            warnings.warn(f"{name}: {reason}", PufferWarning, stacklevel=3)
