import dataclasses

import numpy as np
import pytest

from puffer_callbacks import Image, Video

PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_rgb_and_rgba_are_accepted(channels):
    assert Image(np.zeros((4, 6, channels), np.uint8)).pixels.shape == (4, 6, channels)
    assert Video(np.zeros((2, 4, 6, channels), np.uint8)).frames.shape == (2, 4, 6, channels)


@pytest.mark.parametrize("kind", [Image, Video])
@pytest.mark.parametrize("pixels", [PIXELS.astype(np.float32), PIXELS.tolist(), None, "picture"])
def test_other_types_of_pixels_raise(kind, pixels):
    with pytest.raises(TypeError, match=f"{kind.__name__}: expected a NumPy array of uint8, got"):
        kind(pixels)


@pytest.mark.parametrize("shape", [(4, 6), (3, 4, 6), (4, 6, 2), (0, 6, 3), (4, 6, 3, 3)])
def test_other_shapes_of_an_image_raise(shape):
    with pytest.raises(ValueError, match=r"Image: expected the shape \[H, W, C\] with 1, 3 or 4 channels, got"):
        Image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 3, 4, 6), (0, 4, 6, 3)])
def test_other_shapes_of_a_video_raise(shape):
    with pytest.raises(ValueError, match=r"Video: expected the shape \[T, H, W, C\]"):
        Video(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("fps", [0, -1.0, float("nan")])
def test_a_frame_rate_that_is_not_positive_raises(fps):
    with pytest.raises(ValueError, match="Video: expected fps above 0, got"):
        Video(PIXELS[None], fps=fps)


def test_images_and_videos_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Image(PIXELS).caption = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Video(PIXELS[None]).fps = 1.0
