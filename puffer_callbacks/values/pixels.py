"""Conversion of tensors, arrays, Pillow images and matplotlib figures to pixels."""

import io
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow

PixelSource = Any
"""A tensor or array, or for a single image a Pillow image or matplotlib figure."""

_CHANNELS = (1, 3, 4)
_CHANNELS_FIRST = (1, 3)  # [4, H, W] is more often a stack of frames than RGBA


def to_pixels(name: str, source: PixelSource, *, is_video: bool = False) -> NDArray[np.uint8]:
    """A copy of the source as uint8 pixels [H, W, C], or [T, H, W, C] of a video.

    Args:
        name: of the value, for messages.
        source: what ``Image`` and ``Video`` take. A NumPy array of uint8 in which both the first and the last dimension
            can be channels has them last.
        is_video: whether the first dimension is time.

    Raises:
        TypeError, ValueError: as those raise.

    Example:
        >>> to_pixels("Image", torch.zeros(3, 8, 9)).shape
        (8, 9, 3)
    """
    array = _to_array(name, source, is_video)
    first, last = _channels(name, array, is_video)
    if first and last and (isinstance(source, torch.Tensor) or array.dtype != np.uint8):
        raise ValueError(
            f"{name}: expected one dimension of channels, got {list(array.shape)}, where the first or the last may be "
            f"meant; convert to a uint8 array with the channels last, such as np.uint8(255 * pixels)"
        )
    channels_last = array if last else np.moveaxis(array, -3, -1) if first else array[..., None]
    return np.array(_to_uint8(name, channels_last), order="C")


def _to_array(name: str, source: PixelSource, is_video: bool) -> NDArray[Any]:
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu()
        array: NDArray[Any] = (source.float() if source.is_floating_point() else source).numpy()
        return array
    if not is_video and isinstance(source, Pillow.Image):
        return _of_pillow(source)
    if not is_video and hasattr(source, "savefig"):  # a matplotlib figure
        buffer = io.BytesIO()
        source.savefig(buffer, format="png", dpi=source.dpi)
        image = Pillow.open(buffer)
        opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
        return _of_pillow(image.convert("RGB") if opaque else image)
    expected = "frames as a tensor or NumPy array" if is_video else "a tensor, NumPy array, Pillow image or figure"
    hint = "; stack them: np.stack(frames)" if is_video and isinstance(source, list | tuple) else ""
    raise TypeError(f"{name}: expected {expected}, got {type(source).__name__}{hint}")


def _of_pillow(image: Pillow.Image) -> NDArray[Any]:
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(image)


def _channels(name: str, array: NDArray[Any], is_video: bool) -> tuple[bool, bool]:
    """Whether the first, and the last, dimension of a frame can be its channels; neither of a frame [H, W]."""
    frame: tuple[int, ...] = array.shape[1:] if is_video else array.shape
    first = len(frame) == 3 and frame[0] in _CHANNELS_FIRST
    last = len(frame) == 3 and frame[-1] in _CHANNELS
    is_gray = len(frame) == 2 and not is_video
    if not array.size or not (first or last or is_gray):
        expected = "[T, H, W, C] or [T, C, H, W]" if is_video else "[H, W, C], [C, H, W] or [H, W]"
        raise ValueError(f"{name}: expected the shape {expected} with 1, 3 or 4 channels, got {list(array.shape)}")
    return first, last


def _to_uint8(name: str, array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind != "f":
        raise TypeError(f"{name}: expected uint8 or floats in [0, 1], got {array.dtype}; use .astype(np.uint8)")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):  # false for NaN
        raise ValueError(
            f"{name}: expected floats in [0, 1], got numbers from {low:g} to {high:g}; scale them, "
            f"or convert them to uint8"
        )
    return (array * 255).round().astype(np.uint8)
