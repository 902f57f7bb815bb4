"""Image and video encoders: PNG and animated GIF, by Pillow."""

import io
import math
from itertools import pairwise
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from puffer_callbacks.values.media import Image, Video

_PALETTE_FRAMES = 16
_SHORTEST_DELAY = 20.0  # ms; browsers play anything shorter at 100 ms
_LONGEST_DELAY = 655_350  # ms; the format's own limit

# all backends of a run receive the same object, so it is encoded once
_encoded: WeakKeyDictionary[Image | Video, bytes] = WeakKeyDictionary()


def to_png(image: Image) -> bytes:
    """An image as the bytes of a PNG file, lossless.

    Args:
        image: [H, W, C], gray, RGB or RGBA.

    Example:
        >>> to_png(Image(np.zeros((8, 8, 3), np.uint8)))[1:4]
        b'PNG'
    """
    if image not in _encoded:
        buffer = io.BytesIO()
        as_pillow(image.pixels).save(buffer, "PNG")
        _encoded[image] = buffer.getvalue()
    return _encoded[image]


def to_gif(video: Video) -> bytes:
    """A video as the bytes of a looping animated GIF, with one palette of 256 colors for all frames.

    GIF measures time in hundredths of a second, and browsers ignore delays below two. Above 50 frames per second
    frames are skipped so that the video keeps its speed.

    Args:
        video: [T, H, W, C], gray, RGB or RGBA (the transparency is dropped).

    Example:
        >>> to_gif(Video(np.zeros((2, 8, 8, 3), np.uint8), fps=10))[:6]
        b'GIF89a'
    """
    if video not in _encoded:
        delay = 1000 / video.fps
        stride = max(1, math.ceil(_SHORTEST_DELAY / delay - 1e-9))
        frames = [as_pillow(frame).convert("RGB") for frame in video.frames[::stride]]
        _encoded[video] = _gif(frames, _delays(len(video.frames) * delay, len(frames)))
    return _encoded[video]


def as_pillow(pixels: NDArray[np.uint8]) -> Pillow.Image:
    """Pixels [H, W, C] as a Pillow image, without a copy where possible."""
    return Pillow.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _gif(frames: list[Pillow.Image], delays: list[int]) -> bytes:
    palette = _palette(frames)
    first, *rest = (frame.quantize(palette=palette, dither=Pillow.Dither.NONE) for frame in frames)
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=rest, duration=delays, loop=0, optimize=False)
    return buffer.getvalue()


def _palette(frames: list[Pillow.Image]) -> Pillow.Image:
    """A palette shared by all frames, so that colors do not flicker and unchanged pixels cost no bytes."""
    chosen = frames[:: max(1, len(frames) // _PALETTE_FRAMES)]
    return Pillow.fromarray(np.concatenate([np.asarray(frame) for frame in chosen])).quantize(256)


def _delays(total: float, count: int) -> list[int]:
    """Delays in ms, multiples of 10, that add up to the total without drift."""
    ends = [round(total * i / count / 10) * 10 for i in range(count + 1)]
    return [min(end - start, _LONGEST_DELAY) for start, end in pairwise(ends)]
