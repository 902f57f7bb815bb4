"""The one set of bins: eight to the octave over all of float64, zero by itself.

A bin is a signed number, whose order is the order of the values in it:

* 0 holds exact zeros,
* ``k = 1 + 8 * (e + 1074) + m`` holds ``[2**e * (1 + m / 8), 2**e * (1 + (m + 1) / 8))``, for ``0 <= m < 8``,
* ``-k`` holds the same with the sign turned.

So a bin is at most an eighth as wide as the values in it are large, denormals included, whatever the data.
The bins never move, so histograms merge by adding counts. The bin of a normal float is the top of its bits.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 8
"""Bins in an octave: the top three bits of the mantissa."""

LOWEST_EXPONENT = -1074
"""The exponent of the smallest float64 above zero."""

LAST_BIN = PER_OCTAVE * (1024 - LOWEST_EXPONENT)
"""The bin of the largest float64."""

TOP_BITS_TO_BIN = {32: 1 + PER_OCTAVE * (-127 - LOWEST_EXPONENT), 64: 1 + PER_OCTAVE * (-1023 - LOWEST_EXPONENT)}
"""What to add to the top bits (exponent and three of mantissa) of a normal float of 32 or 64 bits for its bin."""


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value.

    Args:
        values: float64 of any shape, all finite.

    Returns:
        int64 of the same shape.

    Example:
        >>> bins_of(np.array([-1.0, 0.0, 1.0, 1.125])).tolist()
        [-8593, 0, 8593, 8594]
    """
    magnitudes = np.abs(values)
    bins = (magnitudes.view(np.int64) >> 49) + TOP_BITS_TO_BIN[64]
    denormal = magnitudes < np.finfo(np.float64).tiny
    if denormal.any():
        # Their bits have no exponent: scale them by a power of two, which is exact, and step back as many octaves.
        scaled = magnitudes[denormal] * 2.0**64
        bins[denormal] = np.where(scaled == 0, 0, bins_of(scaled) - 64 * PER_OCTAVE) if scaled.any() else 0
    return np.where(values < 0, -bins, bins)


@lru_cache(maxsize=1)
def _all_edges() -> NDArray[np.float64]:
    """The smallest float64 in each bin from ``-LAST_BIN`` to ``LAST_BIN``, then infinity."""
    octaves, eighths = np.divmod(np.arange(LAST_BIN + 1), PER_OCTAVE)
    # Where float64 has no fractions left, an edge between two numbers moves up to the next.
    units = np.ceil(np.ldexp(1.0 + eighths / PER_OCTAVE, np.minimum(octaves, 10)))
    with np.errstate(over="ignore", under="ignore"):
        exact = np.ldexp(1.0 + eighths / PER_OCTAVE, octaves + LOWEST_EXPONENT)
        positive = np.where(octaves < 10, np.ldexp(units, LOWEST_EXPONENT), exact)
    # A bin -k holds (-edge(k + 1), -edge(k)]: its smallest float64 is the one just above -edge(k + 1).
    edges = np.concatenate([np.nextafter(-positive[:0:-1], np.inf), [0.0], positive]) + 0.0
    edges.flags.writeable = False
    return edges


def lower_edges(bins: NDArray[Any]) -> NDArray[np.float64]:
    """The smallest float64 in each bin.

    The largest is the one just below ``lower_edges(bins + 1)``: bins are closed on the left and open on the right,
    as NumPy's are, for negative values too.

    Args:
        bins: integers [K], from ``-LAST_BIN`` to ``LAST_BIN + 1``.

    Returns:
        float64 [K] ascending with the bins; infinite for ``LAST_BIN + 1``.

    Example:
        >>> lower_edges(np.array([0, 8593, 8594])).tolist()
        [0.0, 1.0, 1.125]
    """
    return _all_edges()[bins + LAST_BIN]
