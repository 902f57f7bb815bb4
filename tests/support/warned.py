"""``warned``: the warnings of the package alone."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from puffer_callbacks.faults import PufferWarning


@contextmanager
def warned() -> Iterator[list[str]]:
    """A list that holds the package's warnings after the block; other warnings are passed on."""
    reported: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PufferWarning)
        yield reported
    for warning in caught:
        if warning.category is PufferWarning:
            reported.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
