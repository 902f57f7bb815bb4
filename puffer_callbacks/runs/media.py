"""Histograms and pictures as files hold them, made into values."""

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from puffer_callbacks.values import Histogram, Image, Video

Floats = NDArray[np.float64]


def histogram_of_buckets(
    lefts: Floats, rights: Floats, counts: Floats, totals: tuple[float, float, float, float] | None = None
) -> Histogram:
    """A histogram in our bins, of buckets with other edges.

    A bucket goes to the bin of its center. So a histogram that we wrote comes back as it was.

    Args:
        lefts: left edges [B], ascending.
        rights: right edges [B].
        counts: how many values each bucket holds [B].
        totals: minimum, maximum, sum and sum of squares; estimated from the buckets where they are not known.

    Example:
        >>> histogram = histogram_of_buckets(np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([3.0, 1.0]))
        >>> histogram.count, histogram.sum
        (4, 3.0)
    """
    filled = counts > 0
    lefts, rights, counts = lefts[filled], rights[filled], counts[filled]
    low, high = (totals[0], totals[1]) if totals else (lefts.min(initial=np.inf), rights.max(initial=-np.inf))
    lefts, rights = np.clip(lefts, low, high), np.clip(rights, low, high)
    with np.errstate(over="ignore"):
        width = rights - lefts
    centers = np.where(np.isfinite(width), lefts + width / 2, lefts / 2 + rights / 2)
    if totals is None:
        totals = float(low), float(high), float(centers @ counts), float(centers**2 @ counts)
    bins = Histogram.of(torch.from_numpy(centers))  # how many buckets go to each bin
    starts = np.cumsum(bins.bin_counts) - bins.bin_counts
    bin_counts = np.add.reduceat(counts, starts) if len(starts) else counts
    return Histogram(bins.bins, np.rint(bin_counts).astype(np.int64), 0, *(totals if len(counts) else _EMPTY))


_EMPTY = np.nan, np.nan, 0.0, 0.0


def decode_picture(encoded: bytes) -> Image | Video:
    """A picture file as an image; one that moves, such as an animated GIF, as a video.

    Args:
        encoded: a file of any format that Pillow reads.

    Raises:
        OSError: if Pillow cannot read it.
    """
    from PIL import Image as Pillow  # noqa: PLC0415  # most runs have no pictures
    from PIL import ImageSequence  # noqa: PLC0415

    with Pillow.open(io.BytesIO(encoded)) as picture:
        if getattr(picture, "n_frames", 1) > 1:
            frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
            return Video(np.stack(frames), fps=1000.0 / max(picture.info.get("duration", 100), 1))
        return Image(picture.convert("L") if picture.mode == "1" else picture)


def read_picture(path: Path) -> Image | Video:
    """The picture in a file."""
    return decode_picture(path.read_bytes())
