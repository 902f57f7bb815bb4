import numpy as np
import pytest

from puffer_callbacks import Image, Video
from puffer_callbacks.values.image_files import to_gif, to_png
from puffer_callbacks.values.shrink import encoded_size, shrink_to_bytes


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("max_bytes", [200_000, 20_000, 2_000, 200])
def test_an_image_fits_its_budget(channels, max_bytes):
    small = shrink_to_bytes(Image(noise(101, 77, channels)), max_bytes=max_bytes)
    assert len(to_png(small)) <= max_bytes
    assert small.pixels.shape[-1] == channels


def test_a_picture_within_the_budget_is_unchanged():
    image = Image(noise(8, 8, 3), caption="small")
    assert shrink_to_bytes(image, max_bytes=10_000) is image


def test_the_caption_names_both_sizes():
    small = shrink_to_bytes(Image(noise(64, 32, 3), caption="noise"), max_bytes=3_000)
    assert small.caption == "noise (scaled down from 64x32 to 32x16)"


def test_pixels_are_averaged_not_skipped():
    pixels = noise(64, 64, 1)
    small = shrink_to_bytes(Image(pixels), max_bytes=2_000)
    means = pixels.reshape(32, 2, 32, 2).mean((1, 3))
    assert np.abs(small.pixels[..., 0] - means).max() <= 0.5


def test_a_video_fits_its_budget_and_keeps_its_duration():
    video = Video(noise(8, 130, 130, 3), fps=20)
    small = shrink_to_bytes(video, max_bytes=40_000)
    assert encoded_size(small) <= 40_000
    assert len(small.frames) / small.fps == pytest.approx(8 / 20)
    assert "scaled down from 8x130x130 to 4x65x65" in small.caption


@pytest.mark.parametrize(
    ("shape", "expected", "fps"),
    [
        ((4, 128, 32, 1), (2, 128, 32, 1), 4.0),  # one side is small
        ((4, 128, 130, 1), (4, 64, 65, 1), 8.0),  # none is
        ((2, 32, 32, 1), (1, 32, 32, 1), 4.0),
        ((1, 32, 32, 1), (1, 16, 16, 1), 8.0),  # no frame can be left out
    ],
)
def test_a_small_video_loses_frames_before_it_loses_pixels(shape, expected, fps):
    video = Video(noise(*shape), fps=8)
    size = encoded_size(video)
    small = shrink_to_bytes(video, max_bytes=size - 1)
    assert (small.frames.shape, small.fps) == (expected, fps)
    assert shrink_to_bytes(video, max_bytes=size) is video


def test_a_picture_that_never_fits_is_returned_at_its_smallest():
    assert shrink_to_bytes(Image(noise(9, 9, 3)), max_bytes=1).pixels.shape == (1, 1, 3)
    video = shrink_to_bytes(Video(noise(5, 9, 9, 3)), max_bytes=1)
    assert video.frames.shape == (1, 1, 1, 3)
    assert to_gif(video)


def test_a_budget_of_zero_raises():
    with pytest.raises(ValueError, match="byte budget above 0, got 0"):
        shrink_to_bytes(Image(noise(4, 4, 3)), max_bytes=0)
