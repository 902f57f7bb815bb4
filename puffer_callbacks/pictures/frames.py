"""Conversion of pixel observations in any common layout to RGB frames."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.pictures.colormap import MISSING, scaled
from puffer_callbacks.pictures.layout import BACKGROUND

_MIN_SIDE = 5  # pixels; a smaller array is a table of features
_CODES = 32  # integers below it are codes, such as the kind of object in a cell, not colors
_COMMON_SCALES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_GAP = 2  # pixels between the frames of a stack


@dataclass(frozen=True, eq=False)
class Frames:
    """RGB frames of equal size.

    Args:
        pixels: uint8 [..., H, W, 3].
        missing: the count of non-finite numbers; their pixels are magenta.
        low: the number shown as black.
        high: the number shown as white.
    """

    pixels: NDArray[np.uint8]
    missing: int
    low: float
    high: float


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether observations of this shape are pixels: [H, W], [H, W, C], [C, H, W] or a stack of those.

    Example:
        >>> is_picture((84, 84, 3)), is_picture((4, 84, 84)), is_picture((17,)), is_picture((4, 4))
        (True, True, False, False)
    """
    if not 2 <= len(shape) <= 4:
        return False
    sides = shape if len(shape) == 2 else sorted(shape[-3:])[1:]
    return min(sides) >= _MIN_SIDE


def to_frames(observations: NDArray[Any], *, dims: int) -> Frames:
    """Pixel observations as RGB frames.

    Of three dimensions the smaller of the first and the last is the channels, the last if both are equal. Three
    channels are RGB, one is gray; six, nine, twelve, … are stacked RGB frames. Any other number of channels, and
    all booleans, are gray frames or feature planes. Stacked frames are placed side by side, in reading order.

    Black and white are 0 and 1 for booleans, and the minimum and maximum for integers that are all below 32, which
    are codes rather than colors. For other numbers they are the narrowest of 0 to 1, -1 to 1 and 0 to 255 that
    contains all of them, or else the minimum and maximum.

    Args:
        observations: [..., *shape], with a shape for which ``is_picture`` holds; NaN where a value is
            missing.
        dims: the number of dimensions of the shape.

    Example:
        >>> four_gray = np.zeros((1, 4, 84, 84), np.uint8)
        >>> to_frames(four_gray, dims=3).pixels.shape
        (1, 170, 170, 3)
    """
    panels = _panels(observations, dims)
    finite = np.isfinite(panels)
    low, high = _scale(panels, finite)
    gray = scaled(np.where(finite, panels, low).astype(np.float64), low=low, high=high)
    pixels = np.broadcast_to((gray * 255).round().astype(np.uint8), (*panels.shape[:-1], 3)).copy()
    pixels[~finite.all(-1)] = MISSING
    return Frames(_side_by_side(pixels), int(np.count_nonzero(~finite)), low, high)


def _panels(observations: NDArray[Any], dims: int) -> NDArray[Any]:
    """[..., P, H, W, C] with C of 1 or 3."""
    lead, shape = observations.shape[:-dims], observations.shape[-dims:]
    if dims == 2:
        return observations[..., None, :, :, None]
    stack, frame = math.prod(shape[:-3]), shape[-3:]
    planes = observations.reshape(*lead, stack, *frame)
    if frame[-1] <= frame[0]:
        planes = np.moveaxis(planes, -1, -3)
    channels, height, width = planes.shape[-3:]
    colored = channels % 3 == 0 and observations.dtype != np.bool_
    depth = 3 if colored else 1
    split = planes.reshape(*lead, stack * channels // depth, depth, height, width)
    return np.moveaxis(split, -3, -1)


def _scale(values: NDArray[Any], finite: NDArray[np.bool_]) -> tuple[float, float]:
    if values.dtype == np.bool_:
        return 0.0, 1.0
    shown = values[finite]
    low, high = (float(shown.min()), float(shown.max())) if shown.size else (0.0, 0.0)
    if values.dtype.kind in "iu" and high < _CODES and high > low:
        return low, high
    usual = ((0.0, 255.0),) if values.dtype == np.uint8 else _COMMON_SCALES
    return next((scale for scale in usual if scale[0] <= low and high <= scale[1]), (low, high))


def _side_by_side(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[..., P, H, W, 3] as [..., H', W', 3]."""
    *lead, count, height, width, _ = pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP)
    page = np.full((*lead, *size, 3), BACKGROUND, np.uint8)
    for i in range(count):
        top, left = i // columns * (height + _GAP), i % columns * (width + _GAP)
        page[..., top : top + height, left : left + width, :] = pixels[..., i, :, :, :]
    return page
