"""Image and video values: uint8 pixels on the host, ready for any backend."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_CHANNELS = (1, 3, 4)


def _check_pixels(name: str, pixels: object, ndim: int, layout: str) -> None:
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
        given = f"{type(pixels).__name__} of {getattr(pixels, 'dtype', 'no dtype')}"
        raise TypeError(f"{name}: expected a NumPy array of uint8, got {given}")
    if pixels.ndim != ndim or pixels.shape[-1] not in _CHANNELS or pixels.size == 0:
        raise ValueError(f"{name}: expected the shape {layout} with 1, 3 or 4 channels, got {pixels.shape}")


@dataclass(frozen=True, eq=False)
class Image:
    """An image, for any backend.

    Args:
        pixels: uint8 [H, W, C] with C of 1 (gray), 3 (RGB) or 4 (RGBA), on the host.
        caption: one line of text.

    Raises:
        TypeError: if ``pixels`` is not a NumPy array of uint8.
        ValueError: if its shape is not [H, W, C], or it has no pixel.

    Example:
        >>> Image(np.zeros((8, 8, 3), np.uint8), caption="black").pixels.shape
        (8, 8, 3)
    """

    pixels: NDArray[np.uint8]
    caption: str = ""

    def __post_init__(self) -> None:
        _check_pixels("Image", self.pixels, 3, "[H, W, C]")


@dataclass(frozen=True, eq=False)
class Video:
    """A video: frames of equal size, for any backend.

    Args:
        frames: uint8 [T, H, W, C], on the host.
        fps: frames per second, above 0.
        caption: one line of text.

    Raises:
        TypeError: if ``frames`` is not a NumPy array of uint8.
        ValueError: if its shape is not [T, H, W, C], or ``fps`` is not above 0.

    Example:
        >>> Video(np.zeros((2, 8, 8, 3), np.uint8), fps=30).frames.shape[0]
        2
    """

    frames: NDArray[np.uint8]
    fps: float = 30.0
    caption: str = ""

    def __post_init__(self) -> None:
        _check_pixels("Video", self.frames, 4, "[T, H, W, C]")
        if not self.fps > 0:
            raise ValueError(f"Video: expected fps above 0, got {self.fps}")
