"""The one set of bins: eight to the octave over all of float64, zero by itself.

A bin is a signed number whose order is the order of the values in it:

* 0 holds exact zeros,
* ``k > 0`` holds ``[2**e * (1 + m / 8), 2**e * (1 + (m + 1) / 8))`` where ``k = 1 + 8 * (e + 1074) + m``, ``0 <= m < 8``,
* ``-k`` holds the same with the sign turned.

So a bin is at most an eighth as wide as the values in it are large, denormals included, whatever the data. The bins
never move, so histograms merge by adding counts.
"""

import numpy as np
from numpy.typing import NDArray

PER_OCTAVE = 8
"""Bins in an octave: the top three bits of the mantissa."""

LOWEST_EXPONENT = -1074
"""The exponent of the smallest float64 above zero."""

LAST_BIN = PER_OCTAVE * (1024 - LOWEST_EXPONENT)
"""The bin of the largest float64."""


def bins_of(values: NDArray[np.float64]) -> NDArray[np.int32]:
    """The bin of each finite value, by the bits of the float.

    Args:
        values: float64 of any shape, all finite.

    Returns:
        int32 of the same shape.

    Example:
        >>> bins_of(np.array([-1.0, 0.0, 1.0, 1.125])).tolist()
        [-8593, 0, 8593, 8594]
    """
    mantissa, exponent = np.frexp(np.abs(values))  # in [0.5, 1), denormals too
    eighths = (mantissa * (2 * PER_OCTAVE)).astype(np.int32) - PER_OCTAVE
    bins = 1 + PER_OCTAVE * (exponent - 1 - LOWEST_EXPONENT) + eighths
    return np.where(values == 0, 0, np.where(values < 0, -bins, bins)).astype(np.int32)


def lower_edges(bins: NDArray[np.int32]) -> NDArray[np.float64]:
    """The smallest float64 in each bin.

    The largest float64 in a bin is the one just below ``lower_edges(bins + 1)``: bins are closed on the left and open on
    the right, as NumPy's are, for negative values too.

    Args:
        bins: int32 [K], from ``-LAST_BIN`` to ``LAST_BIN + 1``.

    Returns:
        float64 [K]; infinite for ``LAST_BIN + 1``.

    Example:
        >>> lower_edges(np.array([0, 8593, 8594])).tolist()
        [0.0, 1.0, 1.125]
    """
    # A bin -k holds (-lower(k + 1), -lower(k)]: its smallest float64 is the one just above -lower(k + 1).
    places = np.where(bins > 0, bins - 1, -bins)
    octaves, eighths = np.divmod(places, PER_OCTAVE)
    with np.errstate(over="ignore", under="ignore"):
        # A float64 has no fractions of its smallest number: an edge between two numbers moves up to the next.
        units = np.ldexp((PER_OCTAVE + eighths) / PER_OCTAVE, np.minimum(octaves, 60))
        exact = np.ldexp((PER_OCTAVE + eighths) / PER_OCTAVE, octaves + LOWEST_EXPONENT)
    edges = np.where(octaves < 3, np.ldexp(np.ceil(units), LOWEST_EXPONENT), exact)
    return np.where(bins > 0, edges, np.where(bins < 0, np.nextafter(-edges, np.inf), 0.0)) + 0.0
