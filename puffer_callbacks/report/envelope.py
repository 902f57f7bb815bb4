"""A long series as a short one that keeps every peak: mean, minimum and maximum of neighboring points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Envelope:
    """A series in at most a given number of buckets.

    Args:
        steps: [B], the middle step of each bucket.
        mean: [B], of the finite values; NaN where there is none.
        low: [B], the smallest of them.
        high: [B], the largest of them.
    """

    steps: Array
    mean: Array
    low: Array
    high: Array

    @property
    def is_exact(self) -> bool:
        """Whether every bucket holds one point."""
        return np.array_equal(self.low, self.mean, equal_nan=True) and np.array_equal(
            self.high, self.mean, equal_nan=True
        )


def envelope(steps: NDArray[np.int64], values: Array, *, max_points: int) -> Envelope:
    """The series in at most ``max_points`` buckets of neighboring points; no minimum or maximum is lost.

    Args:
        steps: [n], in the order in which they were logged.
        values: [n]; NaN and infinities are left out.
        max_points: at least 1.

    Example:
        >>> short = envelope(np.arange(6), np.array([0.0, 9.0, 1.0, 1.0, np.nan, 2.0]), max_points=2)
        >>> short.high.tolist(), short.mean.tolist()
        ([9.0, 2.0], [3.3333333333333335, 1.5])
    """
    order = np.argsort(steps, kind="stable")
    x, y = steps[order].astype(np.float64), values[order]
    starts = np.unique(np.linspace(0, len(x), min(max_points, len(x)), endpoint=False).astype(np.int64))
    middles = (starts + np.append(starts[1:], len(x))) // 2
    finite = np.isfinite(y)
    counts = np.add.reduceat(finite, starts, dtype=np.int64)
    shares = np.where(finite, y, 0.0) / np.repeat(np.maximum(counts, 1), np.diff(starts, append=len(x)))
    known = counts > 0
    mean = np.where(known, np.add.reduceat(shares, starts), np.nan)  # a sum of huge values would be infinite
    low = np.where(known, np.minimum.reduceat(np.where(finite, y, np.inf), starts), np.nan)
    high = np.where(known, np.maximum.reduceat(np.where(finite, y, -np.inf), starts), np.nan)
    return Envelope(x[middles], mean, low, high)
