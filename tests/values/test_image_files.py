import io
import itertools

import numpy as np
import pytest
from PIL import Image as Pillow

from puffer_callbacks import Image, Video
from puffer_callbacks.values.image_files import to_gif, to_png


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def moving(frames, *, height=40, width=60):
    pixels = np.full((frames, height, width, 3), 255, np.uint8)
    for t in range(frames):
        pixels[t, 10:20, t : t + 10] = (200, 40, 0)
    return pixels


def opened(content):
    picture = Pillow.open(io.BytesIO(content))
    frames, delays = [], []
    for at in range(getattr(picture, "n_frames", 1)):
        picture.seek(at)
        frames.append(np.asarray(picture.convert("RGB")))
        delays.append(picture.info.get("duration", 0))
    return np.stack(frames), delays, picture


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_holds_every_pixel(channels):
    pixels = noise(17, 23, channels)
    found = np.asarray(Pillow.open(io.BytesIO(to_png(Image(pixels)))))
    assert np.array_equal(found.reshape(pixels.shape), pixels)


def test_a_gif_shows_every_frame_in_its_colors_and_loops():
    frames = moving(12)
    found, _, picture = opened(to_gif(Video(frames, fps=10)))
    assert picture.is_animated and picture.info["loop"] == 0
    assert np.array_equal(found, frames)


@pytest.mark.parametrize(
    ("fps", "frames"), [(1.0, 45), (10.0, 45), (24.0, 45), (30.0, 45), (50.0, 45), (60.0, 23), (144.0, 15)]
)
def test_a_gif_lasts_as_long_as_the_video_with_no_delay_that_browsers_slow_down(fps, frames):
    _, delays, _ = opened(to_gif(Video(moving(45), fps=fps)))
    assert sum(delays) == pytest.approx(45 / fps * 1000, abs=10)
    assert min(delays) >= 20
    assert len(delays) == frames


def test_frames_keep_colors_of_their_own():
    colors = noise(12, 1, 1, 3)
    frames = np.broadcast_to(colors, (12, 8, 8, 3))
    found, _, _ = opened(to_gif(Video(frames, fps=10)))
    assert np.array_equal(found, frames)


def test_repeated_frames_keep_their_duration():
    _, delays, _ = opened(to_gif(Video(np.zeros((8, 16, 16, 3), np.uint8), fps=4)))
    assert sum(delays) in (0, 2000)  # a single picture has no duration at all


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_and_transparent_frames_become_a_gif(channels):
    found, _, _ = opened(to_gif(Video(noise(3, 16, 16, channels), fps=5)))
    assert found.shape == (3, 16, 16, 3)


def test_colors_of_unchanged_pixels_do_not_flicker():
    frames = np.concatenate([noise(1, 32, 32, 3)] * 4)
    frames[1:, :4, :4] = 0
    found, _, _ = opened(to_gif(Video(frames, fps=5)))
    still = found[:, 8:, 8:]
    assert all(np.array_equal(a, b) for a, b in itertools.pairwise(still))


def test_a_picture_is_encoded_once():
    image = Image(noise(8, 8, 3))
    assert to_png(image) is to_png(image)
