"""Layout of pictures: stacking, grids, padding and resizing."""

from collections.abc import Sequence

import numpy as np
from PIL import Image as Pillow

from puffer_callbacks.pictures.colormap import Pixels

BACKGROUND = 255
"""The gray value of the background: white."""


def hstack(pictures: Sequence[Pixels], *, gap: int = 4) -> Pixels:
    """Pictures stacked horizontally, from left to right, their tops aligned.

    Args:
        pictures: uint8 [H_i, W_i, 3], at least one.
        gap: pixels of background between two of them.

    Example:
        >>> hstack([np.zeros((5, 2, 3), np.uint8)] * 3, gap=1).shape
        (5, 8, 3)
    """
    turned = [picture.swapaxes(0, 1) for picture in pictures]
    return vstack(turned, gap=gap).swapaxes(0, 1)


def vstack(pictures: Sequence[Pixels], *, gap: int = 4, align_right: bool = False) -> Pixels:
    """Pictures stacked vertically, from top to bottom.

    Args:
        pictures: uint8 [H_i, W_i, 3], at least one.
        gap: pixels of background between two of them.
        align_right: whether narrower pictures are at the right; else they are at the left.

    Example:
        >>> vstack([np.zeros((5, 2, 3), np.uint8), np.zeros((5, 9, 3), np.uint8)], gap=1).shape
        (11, 9, 3)
    """
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] for picture in pictures) + gap * (len(pictures) - 1)
    page = np.full((height, width, 3), BACKGROUND, np.uint8)
    top = 0
    for picture in pictures:
        left = width - picture.shape[1] if align_right else 0
        page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += picture.shape[0] + gap
    return page


def grid(pictures: Sequence[Pixels], *, columns: int, gap: int = 8) -> Pixels:
    """A grid of pictures in rows of ``columns``, with cells of equal size.

    Example:
        >>> grid([np.zeros((4, 4, 3), np.uint8)] * 5, columns=3, gap=1).shape
        (9, 14, 3)
    """
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    cells = [padded(each, bottom=height - each.shape[0], right=width - each.shape[1]) for each in pictures]
    rows = [hstack(cells[i : i + columns], gap=gap) for i in range(0, len(cells), columns)]
    return vstack(rows, gap=gap)


def padded(picture: Pixels, *, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0) -> Pixels:
    """A picture padded with background."""
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), constant_values=BACKGROUND)


def framed(picture: Pixels, *, margin: int = 12) -> Pixels:
    """A picture with a margin of background on every side."""
    return padded(picture, top=margin, bottom=margin, left=margin, right=margin)


def resized(picture: Pixels, *, at_least: int = 1, at_most: int = 1024) -> Pixels:
    """A picture resized so that its longer side is within two bounds, by whole factors or by averaging.

    Args:
        picture: uint8 [H, W, 3].
        at_least: the lower bound in pixels; smaller pictures are enlarged by a whole factor, within ``at_most``.
        at_most: the upper bound in pixels; larger pictures are averaged down to it.

    Example:
        >>> small = np.zeros((3, 7, 3), np.uint8)
        >>> resized(small, at_least=20).shape, resized(small, at_most=5).shape
        ((9, 21, 3), (2, 5, 3))
    """
    side = max(picture.shape[:2])
    if side > at_most:
        height, width = (max(1, round(length * at_most / side)) for length in picture.shape[:2])
        shrunk = Pillow.fromarray(picture).resize((width, height), Pillow.Resampling.BOX)
        return np.asarray(shrunk)
    factor = min(-(-at_least // side), max(at_most // side, 1))
    return picture.repeat(factor, 0).repeat(factor, 1)
