"""Image and video values: uint8 pixels on the host, ready for any backend."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.values.pixels import PixelSource, to_pixels


@dataclass(frozen=True, eq=False, init=False)
class Image:
    """An image, for any backend.

    Args:
        pixels: a tensor or array [H, W, C] with C of 1 (gray), 3 (RGB) or 4 (RGBA), [C, H, W] with C of 1 or 3, or
            [H, W], of uint8, booleans, or floats in [0, 1]; a Pillow image; or a matplotlib figure. It is copied to
            uint8 [H, W, C].
        caption: one line of text.

    Raises:
        TypeError: if ``pixels`` is of another type.
        ValueError: if its shape is another or can be read in two ways, or floats leave [0, 1].

    Example:
        >>> Image(np.zeros((8, 8, 3), np.uint8), caption="black").pixels.shape
        (8, 8, 3)
    """

    pixels: NDArray[np.uint8]
    caption: str = ""

    def __init__(self, pixels: PixelSource, caption: str = "") -> None:
        object.__setattr__(self, "pixels", to_pixels("Image", pixels))
        object.__setattr__(self, "caption", caption)


@dataclass(frozen=True, eq=False, init=False)
class Video:
    """A video: frames of equal size, for any backend.

    Args:
        frames: a tensor or array [T, H, W, C] with C of 1 (gray), 3 (RGB) or 4 (RGBA), or [T, C, H, W] with C of 1
            or 3, of uint8, booleans, or floats in [0, 1]. It is copied to uint8 [T, H, W, C].
        fps: frames per second, finite and above 0.
        caption: one line of text.

    Raises:
        TypeError: if ``frames`` is not a tensor or array.
        ValueError: if its shape is another or can be read in two ways, floats leave [0, 1], or ``fps`` is not
            finite and above 0.

    Example:
        >>> Video(np.zeros((2, 8, 8, 3), np.uint8), fps=30).frames.shape[0]
        2
    """

    frames: NDArray[np.uint8]
    fps: float = 30.0
    caption: str = ""

    def __init__(self, frames: PixelSource, fps: float = 30.0, caption: str = "") -> None:
        if not 0 < fps < math.inf:
            raise ValueError(f"Video: expected a finite fps above 0, got {fps}")
        object.__setattr__(self, "frames", to_pixels("Video", frames, is_video=True))
        object.__setattr__(self, "fps", fps)
        object.__setattr__(self, "caption", caption)
