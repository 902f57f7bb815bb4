"""Color map from numbers to RGB."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pixels = NDArray[np.uint8]
"""uint8 [H, W, 3], RGB."""

MISSING = (255, 0, 255)
"""The color of a non-finite number: magenta, which is not part of the color map."""

# every fifteenth color of viridis (van der Walt and Smith 2015); interpolation errs by at most 5 of 255
_ANCHORS = (
    "440154 481769 472a7a 433d84 3d4e8a 355e8d 2e6d8e 297b8e 23898e "
    "1f978b 21a585 2eb37c 46c06f 65cb5e 89d548 b0dd2f d8e219 fde725"
)


def _viridis() -> NDArray[np.uint8]:
    anchors = np.array([list(bytes.fromhex(color)) for color in _ANCHORS.split()])
    at = np.arange(256) / 15
    table = np.stack([np.interp(at, np.arange(len(anchors)), channel) for channel in anchors.T], -1)
    return table.round().astype(np.uint8)


VIRIDIS = _viridis()
"""uint8 [256, 3]: dark violet, blue, green, yellow; perceptually uniform and safe for color-blind readers."""


def colorize(values: ArrayLike, *, low: float, high: float) -> Pixels:
    """The viridis colors of numbers, dark violet at ``low`` to yellow at ``high``; magenta if not finite.

    Args:
        values: numbers [...].
        low: the darkest value; smaller values have the same color.
        high: the brightest value; larger values have the same color.

    Returns:
        uint8 [..., 3]. If ``low`` equals ``high`` every number has the middle color.

    Example:
        >>> colorize([0.0, 1.0, np.nan], low=0, high=1).tolist()
        [[68, 1, 84], [253, 231, 37], [255, 0, 255]]
    """
    numbers = np.asarray(values, np.float64)
    finite = np.isfinite(numbers)
    share = scaled(np.where(finite, numbers, low), low=low, high=high)
    pixels = VIRIDIS[(share * 255).round().astype(np.intp)]
    pixels[~finite] = MISSING
    return pixels


def scaled(values: NDArray[np.float64], *, low: float, high: float) -> NDArray[np.float64]:
    """The position of numbers between ``low`` and ``high``, in [0, 1]; 0.5 if the two are equal."""
    if not high > low:
        return np.full(values.shape, 0.5)
    # halves, because the difference of two large numbers can overflow
    return np.clip((values / 2 - low / 2) / (high / 2 - low / 2), 0.0, 1.0)
