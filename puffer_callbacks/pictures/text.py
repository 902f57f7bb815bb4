"""Text as pixels, and numbers as short text."""

from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from puffer_callbacks.pictures.colormap import Pixels
from puffer_callbacks.pictures.layout import BACKGROUND

TEXT = (36, 41, 47)
MUTED = (101, 109, 118)

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_text(text: str, *, size: int = 12, color: tuple[int, int, int] = TEXT, width: int | None = None) -> Pixels:
    """A line of text as a picture.

    Args:
        text: the line; characters that the font lacks are drawn as boxes.
        size: the font size in pixels.
        color: RGB.
        width: the largest width in pixels; a longer line is cut with an ellipsis.

    Returns:
        uint8 [H, W, 3] on white; H depends only on the size.

    Example:
        >>> draw_text("head 0").shape[0] == draw_text("gap").shape[0]
        True
    """
    font = _font(size)
    text = " ".join(text.split()) or " "
    if width is not None:
        text = _cut(text, font, width)
    length = max(1, int(np.ceil(font.getlength(text))))
    page = Pillow.new("RGB", (length + 1, round(size * 1.35)), (BACKGROUND,) * 3)
    ImageDraw.Draw(page).text((0, 0), text, fill=color, font=font)
    return np.asarray(page)


def number(value: Any) -> str:
    """A number or a small array as short text, with three significant digits.

    Example:
        >>> number(0.123456), number(3), number(np.array([0.5, -1.0])), number(np.arange(9))
        ('0.123', '3', '0.5, -1', '0, 1, 2, …')
    """
    values = np.asarray(value)
    if values.dtype.kind not in "biuf":
        return str(value)
    whole = values.dtype.kind != "f"
    flat = [str(int(each)) if whole else f"{each:.3g}" for each in values.ravel()[:4]]
    return ", ".join([*flat[:3], "…"] if values.size > 4 else flat)


def missing(count: int) -> str:
    """A note on numbers that are not finite; empty where there are none."""
    return f", {count} not finite (magenta)" if count else ""


@lru_cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)


def _cut(text: str, font: _Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while len(text) > 1 and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
