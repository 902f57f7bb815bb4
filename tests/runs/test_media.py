import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from puffer_callbacks.runs.media import decode_picture, histogram_of_buckets
from puffer_callbacks.values import Histogram, Image, Video


def read_back(histogram):
    totals = histogram.min, histogram.max, histogram.sum, histogram.sum_squares
    return histogram_of_buckets(histogram.edges[:-1], histogram.edges[1:], histogram.counts.astype(float), totals)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_our_own_histograms_come_back_as_they_were(numbers):
    histogram = Histogram.of(torch.tensor(numbers, dtype=torch.float64))
    assert read_back(histogram) == histogram


def test_buckets_of_another_width():
    edges = np.linspace(-2.0, 2.0, 5)
    histogram = histogram_of_buckets(edges[:-1], edges[1:], np.array([1.0, 0.0, 2.0, 1.0]))
    assert (histogram.count, histogram.min, histogram.max) == (4, -2.0, 2.0)
    assert histogram.sum == -1.5 + 2 * 0.5 + 1.5
    assert histogram.sum_squares == 1.5**2 + 2 * 0.5**2 + 1.5**2


def test_limits_beyond_the_values_are_clipped_to_them():
    limits = np.array([0.0, 1e300])
    histogram = histogram_of_buckets(np.array([-1e300, 0.0]), limits, np.array([1.0, 3.0]), (-1.0, 2.0, 2.0, 5.0))
    assert histogram.counts.sum() == 4
    assert histogram.quantile(1.0) == 2.0


def test_no_buckets():
    nothing = np.zeros(0)
    assert histogram_of_buckets(nothing, nothing, nothing).count == 0
    assert histogram_of_buckets(np.zeros(1), np.ones(1), np.zeros(1)).count == 0


def encoded(picture, form="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures(channels):
    pixels = np.arange(6 * channels, dtype=np.uint8).reshape(2, 3, channels)
    decoded = decode_picture(encoded(Pillow.fromarray(pixels[..., 0] if channels == 1 else pixels)))
    assert isinstance(decoded, Image)
    np.testing.assert_array_equal(decoded.pixels, pixels)


@pytest.mark.parametrize(("mode", "channels"), [("1", 1), ("LA", 4), ("P", 3), ("CMYK", 3)])
def test_other_modes(mode, channels):
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert decode_picture(encoded(Pillow.new(mode, (3, 2)), form)).pixels.shape == (2, 3, channels)


def test_a_picture_that_moves_is_a_video():
    frames = [Pillow.new("RGB", (4, 2), (shade, 0, 0)) for shade in (0, 100, 200)]
    video = decode_picture(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50))
    assert isinstance(video, Video)
    assert video.frames.shape == (3, 2, 4, 3)
    assert video.fps == 20.0
    assert video.frames[:, 0, 0, 0].tolist() == [0, 100, 200]
