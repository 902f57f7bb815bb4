"""What the package warned about, apart from what third parties say."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from puffer_callbacks.faults import PufferWarning


@contextmanager
def warned() -> Iterator[list[str]]:
    """A list that holds the package's warnings once the block is left; other warnings go their way."""
    reported: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PufferWarning)
        yield reported
    for warning in caught:
        if warning.category is PufferWarning:
            reported.append(str(warning.message))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
