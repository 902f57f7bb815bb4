"""The compiled kernel of histograms: one pass over float32 arrays, in the threads of torch's OpenMP runtime."""

import numpy as np
from numpy.typing import NDArray

BINS: int
FIRST_BIN: int
CHUNK: int
SMALL: int
HAS_THREADS: int
"""Whether torch's OpenMP runtime was found; without it one thread counts."""

def count(
    arrays: list[NDArray[np.float32]], threads: int, /
) -> list[tuple[bytes, bytes, float, float, float, float] | None]:
    """Count each array.

    Args:
        arrays: objects with the buffer protocol: contiguous, aligned, of 1 to 2**32 - 1 float32 numbers each.
        threads: the most threads to use. Other Python threads run meanwhile.

    Returns:
        Of each array the filled bins (int32, ascending), their counts (int64), minimum, maximum, sum and sum of
        squares; ``None`` where it holds NaN, infinities or denormals, which only ``Float64Counter`` counts right.

    Raises:
        TypeError: if ``arrays`` is not a list of buffers.
        ValueError: if a buffer is not contiguous, of another format, empty or too large.
    """
