"""What the colors of a picture stand for."""

from collections.abc import Sequence

import numpy as np

from puffer_callbacks.pictures.colormap import Pixels, colorize
from puffer_callbacks.pictures.layout import below, beside, padded
from puffer_callbacks.pictures.text import SOFT, number, words


def color_bar(ticks: Sequence[float], *, height: int = 120, width: int = 10) -> Pixels:
    """The scale of colors, brightest at the top, with numbers at even distances.

    Args:
        ticks: at least two, from the top to the bottom.
        height: of the bar, in pixels.
        width: of the bar, in pixels.

    Example:
        >>> color_bar([1.0, 0.5, 0.0], height=50).shape[0]
        66
    """
    labels = [words(number(tick), color=SOFT) for tick in ticks]
    ramp = colorize(np.linspace(1, 0, height), low=0, high=1)[:, None].repeat(width, 1)
    gap = (height - len(ticks)) / (len(ticks) - 1)
    half = labels[0].shape[0] // 2
    spaced = below(labels, gap=round(gap) + 1 - labels[0].shape[0])
    return beside([padded(ramp, top=half, bottom=half), spaced], gap=4)
