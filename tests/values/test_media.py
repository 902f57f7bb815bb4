import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from puffer_callbacks import Image, Video

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 6, 3)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_gray_rgb_and_rgba_are_accepted(channels):
    assert Image(np.zeros((4, 6, channels), np.uint8)).pixels.shape == (4, 6, channels)
    assert Video(np.zeros((2, 4, 6, channels), np.uint8)).frames.shape == (2, 4, 6, channels)


@pytest.mark.parametrize("convert", [lambda array: array, torch.from_numpy], ids=["array", "tensor"])
@pytest.mark.parametrize("scale", [np.uint8, lambda array: array / 255, lambda array: np.float32(array / 255)])
@pytest.mark.parametrize("channels", ["first", "last"])
def test_layouts_and_scales_give_the_same_pixels(convert, scale, channels):
    source = scale(np.moveaxis(PIXELS, -1, 0) if channels == "first" else PIXELS)
    image = Image(convert(source))
    assert np.array_equal(image.pixels, PIXELS) and image.pixels.flags.c_contiguous
    assert np.array_equal(Video(convert(np.stack([source, source]))).frames, np.stack([PIXELS, PIXELS]))


def test_gray_images_without_channels_and_masks_are_accepted():
    assert np.array_equal(Image(PIXELS[..., 0]).pixels, PIXELS[..., :1])
    assert np.array_equal(Image(PIXELS[..., 0] > 100).pixels[..., 0], np.where(PIXELS[..., 0] > 100, 255, 0))
    half = torch.tensor([[0.0, 0.5], [1.0, 0.25]], dtype=torch.bfloat16, requires_grad=True)
    assert Image(half).pixels[..., 0].tolist() == [[0, 128], [255, 64]]


def test_pillow_images_of_any_mode_are_accepted():
    assert np.array_equal(Image(Pillow.fromarray(PIXELS)).pixels, PIXELS)
    for mode, channels in {"L": 1, "RGB": 3, "RGBA": 4, "1": 3, "P": 3, "LA": 4, "CMYK": 3}.items():
        assert Image(Pillow.new(mode, (6, 8))).pixels.shape == (8, 6, channels)


@pytest.mark.parametrize("size", [(8, 1), (8, 3), (1, 8), (3, 8)])
def test_a_flat_or_narrow_pillow_image_has_its_channels_last(size):
    width, height = size
    assert Image(Pillow.new("RGB", size)).pixels.shape == (height, width, 3)


@pytest.mark.parametrize(("alpha", "expected"), [(1.0, (255, 0, 0)), (0.0, (255, 0, 0, 0))])
def test_a_matplotlib_figure_is_as_large_as_it_is_whatever_files_are_saved_as(alpha, expected):
    matplotlib = pytest.importorskip("matplotlib")
    figure = pytest.importorskip("matplotlib.figure").Figure(figsize=(2, 1), dpi=50, facecolor=(1, 0, 0, alpha))
    with matplotlib.rc_context({"savefig.format": "svg", "savefig.dpi": 300}):
        pixels = Image(figure).pixels
    assert pixels.shape == (50, 100, len(expected))
    assert (pixels[..., 3:] == expected[3:]).all() and (alpha == 0 or (pixels == expected).all())
    with pytest.raises(TypeError, match="Video: expected frames as a tensor or NumPy array, got Figure"):
        Video(figure)


@pytest.mark.parametrize("pixels", [PIXELS, torch.from_numpy(PIXELS.copy())], ids=["array", "tensor"])
def test_pixels_are_copied(pixels):
    image, video = Image(pixels), Video(pixels[None])
    before = image.pixels.copy()
    pixels[:] = 7
    assert np.array_equal(image.pixels, before) and np.array_equal(video.frames[0], before)


@pytest.mark.parametrize(
    ("kind", "pixels", "given"),
    [
        (Image, PIXELS.tolist(), "a tensor, NumPy array, Pillow image or figure, got list$"),
        (Image, None, "a tensor, NumPy array, Pillow image or figure, got NoneType"),
        (Video, "film", "frames as a tensor or NumPy array, got str"),
        (Video, [PIXELS, PIXELS], r"frames as a tensor or NumPy array, got list; stack them: np\.stack\(frames\)"),
        (Image, PIXELS.astype(np.int64), r"uint8 or floats in \[0, 1\], got int64; use \.astype\(np\.uint8\)"),
        (Video, torch.zeros(2, 3, 8, 6, dtype=torch.int32), r"uint8 or floats in \[0, 1\], got int32"),
    ],
)
def test_other_types_of_pixels_raise(kind, pixels, given):
    with pytest.raises(TypeError, match=f"{kind.__name__}: expected {given}"):
        kind(pixels)


@pytest.mark.parametrize("shape", [(6,), (4, 6, 2), (4, 84, 84), (0, 6, 3), (4, 6, 3, 3), (0, 0)])
def test_other_shapes_of_an_image_raise(shape):
    with pytest.raises(ValueError, match=r"Image: expected the shape \[H, W, C\], .* with 1, 3 or 4 channels, got"):
        Image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(4, 6, 3), (2, 5, 4, 6), (0, 4, 6, 3)])
def test_other_shapes_of_a_video_raise(shape):
    with pytest.raises(ValueError, match=r"Video: expected the shape \[T, H, W, C\]"):
        Video(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("kind", "pixels"),
    [
        (Image, np.zeros((3, 6, 3))),
        (Image, torch.zeros(3, 6, 1)),
        (Image, torch.zeros(3, 6, 3, dtype=torch.uint8)),
        (Video, torch.zeros(2, 3, 6, 3)),
    ],
)
def test_ambiguous_channels_raise_and_the_suggested_conversion_works(kind, pixels):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: expected one dimension of channels, got .*np\.uint8\(255"):
        kind(pixels)
    kind(np.uint8(255 * np.asarray(pixels)))


@pytest.mark.parametrize(("low", "high"), [(0.0, 255.0), (-1.0, 1.0), (0.0, np.inf), (np.nan, np.nan)])
def test_floats_outside_their_range_raise(low, high):
    pixels = np.full((8, 6), low)
    pixels[0, 0] = high
    with pytest.raises(ValueError, match=rf"Image: expected floats in \[0, 1\], got numbers from {low:g} to {high:g}"):
        Image(pixels)


@pytest.mark.parametrize("fps", [0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_not_positive_raises(fps):
    with pytest.raises(ValueError, match="Video: expected a finite fps above 0, got"):
        Video(PIXELS[None], fps=fps)


def test_images_and_videos_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Image(PIXELS).caption = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        Video(PIXELS[None]).fps = 1.0
