"""Pictures put together: beside one another, below one another, larger, smaller."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from PIL import Image as Pillow

from puffer_callbacks.pictures.colormap import Pixels

PAPER = 255
"""The gray of the background: white."""

Align = Literal["start", "center", "end"]


def beside(pictures: Sequence[Pixels], *, gap: int = 4, align: Align = "start") -> Pixels:
    """Pictures from left to right.

    Args:
        pictures: uint8 [H_i, W_i, 3], at least one.
        gap: pixels of paper between two of them.
        align: where the lower ones stand: at the top, in the middle or at the bottom.

    Example:
        >>> beside([np.zeros((5, 2, 3), np.uint8)] * 3, gap=1).shape
        (5, 8, 3)
    """
    turned = [picture.swapaxes(0, 1) for picture in pictures]
    return below(turned, gap=gap, align=align).swapaxes(0, 1)


def below(pictures: Sequence[Pixels], *, gap: int = 4, align: Align = "start") -> Pixels:
    """Pictures from top to bottom; ``align`` says where the narrower ones stand.

    Example:
        >>> below([np.zeros((5, 2, 3), np.uint8), np.zeros((5, 9, 3), np.uint8)], gap=1).shape
        (11, 9, 3)
    """
    width = max(picture.shape[1] for picture in pictures)
    height = sum(picture.shape[0] for picture in pictures) + gap * (len(pictures) - 1)
    page = np.full((height, width, 3), PAPER, np.uint8)
    top = 0
    for picture in pictures:
        left = {"start": 0, "center": (width - picture.shape[1]) // 2, "end": width - picture.shape[1]}[align]
        page[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        top += picture.shape[0] + gap
    return page


def grid(pictures: Sequence[Pixels], *, columns: int, gap: int = 8) -> Pixels:
    """Pictures in rows of ``columns``, in cells of one size.

    Example:
        >>> grid([np.zeros((4, 4, 3), np.uint8)] * 5, columns=3, gap=1).shape
        (9, 14, 3)
    """
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    cells = [padded(each, bottom=height - each.shape[0], right=width - each.shape[1]) for each in pictures]
    rows = [beside(cells[i : i + columns], gap=gap) for i in range(0, len(cells), columns)]
    return below(rows, gap=gap)


def padded(picture: Pixels, *, top: int = 0, bottom: int = 0, left: int = 0, right: int = 0) -> Pixels:
    """A picture with paper around it."""
    return np.pad(picture, ((top, bottom), (left, right), (0, 0)), constant_values=PAPER)


def framed(picture: Pixels, *, margin: int = 12) -> Pixels:
    """A picture with a margin of paper on every side."""
    return padded(picture, top=margin, bottom=margin, left=margin, right=margin)


def resized(picture: Pixels, *, at_least: int = 1, at_most: int = 1024) -> Pixels:
    """A picture whose longer side lies between two bounds: enlarged by whole factors, shrunk by averaging.

    Args:
        picture: uint8 [H, W, 3].
        at_least: a shorter longer side is enlarged by the largest factor that does not exceed ``at_most``.
        at_most: a longer one is shrunk to it.

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
