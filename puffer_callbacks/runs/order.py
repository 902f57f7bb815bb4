"""Points in the order of their steps, without those that a later session of the run wrote again."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from puffer_callbacks.runs.aliases import Series

_OFTEN = 20
"""Steps that go back more often than at every so many points are those of several writers, not of sessions."""


def in_order(steps: ArrayLike) -> NDArray[np.int64]:
    """The places of the points to show or to judge, by ascending step.

    Where the steps go back, the run was resumed or begun anew: it writes that step and those beyond again, so the
    earlier points there are left out, as TensorBoard does at a purge. Where steps go back often, as those of parallel
    actors, no point is left out.

    Args:
        steps: [n], in the order in which they were written.

    Example:
        >>> in_order([0, 10, 20, 10, 20, 30]).tolist(), in_order([0, 10, 20, 0]).tolist()
        ([0, 3, 4, 5], [3])
    """
    written = np.asarray(steps, np.int64)
    kept = np.ones(len(written), bool)
    for begin in _sessions(written):
        kept[:begin] &= written[:begin] < written[begin]
    (places,) = np.nonzero(kept)
    return places[np.argsort(written[places], kind="stable")]


def ordered(series: Series) -> Series:
    """The points of a series that are shown and judged, by ascending step.

    Example:
        >>> ordered((np.array([0, 10, 20, 10]), np.array([1.0, 2.0, 3.0, 4.0])))
        (array([ 0, 10]), array([1., 4.]))
    """
    steps, values = series
    places = in_order(steps)
    return steps[places], values[places]


def restarts(steps: ArrayLike) -> list[tuple[int, int]]:
    """The step before and the step after, for each place where a session of the run begins that writes steps again.

    Example:
        >>> restarts([0, 10, 20, 10, 20, 30])
        [(20, 10)]
    """
    written = np.asarray(steps, np.int64)
    return [(int(written[begin - 1]), int(written[begin])) for begin in _sessions(written)]


def _sessions(steps: NDArray[np.int64]) -> list[int]:
    """Where the steps go back, unless they do so often."""
    begins = np.flatnonzero(steps[1:] < steps[:-1]) + 1
    return [] if len(begins) > max(1, len(steps) // _OFTEN) else begins.tolist()
