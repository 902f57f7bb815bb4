"""Byte budget of images and videos: they are scaled down, never dropped."""

from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.values.image_files import as_pillow, to_gif, to_png
from puffer_callbacks.values.media import Image, Video

_SMALL_SIDE = 128  # px; a smaller video loses frames before it loses more pixels

Picture = TypeVar("Picture", bound=Image | Video)


def shrink_to_bytes(picture: Picture, *, max_bytes: int) -> Picture:
    """The picture, halved until its file fits a byte budget; the caption then names both sizes.

    A video below 128 pixels loses every second frame, at half the frame rate, before it loses more pixels.
    A picture that never fits is returned at its smallest size.

    Args:
        picture: an image or a video.
        max_bytes: the budget of its PNG or GIF file in bytes, above 0.

    Raises:
        ValueError: if ``max_bytes`` is not above 0.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
        >>> shrink_to_bytes(Image(noise), max_bytes=4096).caption
        'scaled down from 64x64 to 32x32'
    """
    if not max_bytes > 0:
        raise ValueError(f"expected a byte budget above 0, got {max_bytes}")
    small = picture
    while encoded_size(small) > max_bytes and max(_shape(small)) > 1:
        small = _halved(small)
    if small is picture:
        return picture
    sizes = ["x".join(map(str, _shape(each))) for each in (picture, small)]
    note = f"scaled down from {sizes[0]} to {sizes[1]}"
    return replace(small, caption=f"{picture.caption} ({note})" if picture.caption else note)


def encoded_size(picture: Image | Video) -> int:
    """The size of the picture's PNG or GIF file, in bytes."""
    return len(to_png(picture) if isinstance(picture, Image) else to_gif(picture))


def _shape(picture: Image | Video) -> tuple[int, ...]:
    return picture.pixels.shape[:2] if isinstance(picture, Image) else picture.frames.shape[:3]


def _halved(picture: Picture) -> Picture:
    if isinstance(picture, Image):
        return replace(picture, pixels=_half(picture.pixels))
    frames = picture.frames
    if len(frames) > 1 and min(frames.shape[1:3]) < _SMALL_SIDE:
        return replace(picture, frames=frames[::2], fps=picture.fps / 2)
    return replace(picture, frames=np.stack([_half(frame) for frame in frames]))


def _half(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width, channels = pixels.shape
    return np.asarray(as_pillow(pixels).reduce(2)).reshape((height + 1) // 2, (width + 1) // 2, channels)
