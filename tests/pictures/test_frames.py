import numpy as np
import pytest

from puffer_callbacks.pictures.colormap import MISSING
from puffer_callbacks.pictures.frames import is_picture, to_frames


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((84, 84), True),
        ((84, 84, 1), True),
        ((3, 64, 96), True),
        ((4, 84, 84), True),
        ((84, 84, 12), True),
        ((4, 84, 84, 3), True),
        ((7, 7, 3), True),
        ((10, 10, 6), True),
        ((4,), False),
        ((4, 4), False),
        ((1, 84), False),
        ((3, 3, 3), False),
        ((), False),
        ((2, 2, 2, 9, 9), False),
        ((0, 84, 3), False),
    ],
)
def test_shapes_of_pictures(shape, expected):
    assert is_picture(shape) is expected


def test_color_is_shown_as_it_is_in_both_layouts():
    pixels = noise(2, 9, 8, 3)
    assert np.array_equal(to_frames(pixels, dims=3).pixels, pixels)
    assert np.array_equal(to_frames(np.moveaxis(pixels, -1, 1), dims=3).pixels, pixels)


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (1, 9, 8)])
def test_gray_is_gray(shape):
    pixels = noise(*shape)
    shown = to_frames(pixels, dims=len(shape)).pixels
    assert np.array_equal(shown, np.repeat(pixels.reshape(9, 8, 1), 3, -1))


@pytest.mark.parametrize("last", [False, True])
def test_stacked_gray_frames_are_placed_side_by_side_in_reading_order(last):
    stack = noise(4, 9, 8)
    shown = to_frames(np.moveaxis(stack, 0, -1) if last else stack, dims=3).pixels
    assert shown.shape == (20, 18, 3)
    for i, (top, left) in enumerate([(0, 0), (0, 10), (11, 0), (11, 10)]):
        assert np.array_equal(shown[top : top + 9, left : left + 8, 0], stack[i])


def test_stacked_colored_frames_keep_their_colors():
    stack = noise(2, 9, 8, 3)
    expected = to_frames(stack, dims=4).pixels
    assert np.array_equal(expected[:, :8], stack[0]) and np.array_equal(expected[:, 10:], stack[1])
    channels_first = np.moveaxis(stack, -1, 1).reshape(6, 9, 8)
    assert np.array_equal(to_frames(channels_first, dims=3).pixels, expected)


def test_boolean_planes_are_not_colors():
    planes = noise(10, 10, 6) > 128
    frames = to_frames(planes, dims=3)
    assert frames.pixels.shape == (22, 34, 3) and set(np.unique(frames.pixels)) == {0, 255}


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        (0.0, 1.0, (0, 1)),
        (0.25, 0.5, (0, 1)),
        (-1.0, 1.0, (-1, 1)),
        (0.0, 255.0, (0, 255)),
        (-7.0, 9.0, (-7, 9)),
        (500.0, 900.0, (500, 900)),
    ],
)
def test_floats_have_the_narrowest_common_scale(low, high, scale):
    frames = to_frames(np.linspace(low, high, 64).reshape(8, 8), dims=2)
    assert (frames.low, frames.high) == scale
    share = (high - scale[0]) / (scale[1] - scale[0])
    assert frames.pixels.max() == round(255 * share)


@pytest.mark.parametrize("kind", [np.uint8, np.int64])
def test_small_integers_are_codes_scaled_to_the_full_range(kind):
    frames = to_frames((np.arange(64).reshape(8, 8) % 11).astype(kind), dims=2)
    assert (frames.low, frames.high) == (0, 10) and frames.pixels.max() == 255


def test_black_stays_black():
    assert not to_frames(np.zeros((8, 8, 3), np.uint8), dims=3).pixels.any()


def test_non_finite_pixels_are_magenta_and_counted():
    pixels = np.full((2, 8, 8, 3), 0.5)
    pixels[0, 2, 3, 1], pixels[1, 4, 4] = np.nan, np.inf
    frames = to_frames(pixels, dims=3)
    assert frames.missing == 4
    shown = (frames.pixels == MISSING).all(-1)
    assert np.argwhere(shown).tolist() == [[0, 2, 3], [1, 4, 4]]


def test_a_frame_without_finite_pixels_is_magenta():
    frames = to_frames(np.full((8, 8), np.nan), dims=2)
    assert (frames.pixels == MISSING).all() and frames.missing == 64


def test_where_pictures_begin_and_which_side_is_the_channels():
    assert is_picture((5, 5)) and is_picture((5, 3, 5)) and not is_picture((4, 9))
    assert to_frames(np.zeros((1, 6, 7, 6)), dims=3).pixels.shape == (1, 6, 2 * 7 + 2, 3), (
        "the last of two that are equal"
    )


def test_integers_below_32_are_codes_and_one_value_alone_is_a_color():
    for values, scale in (([1, 31], (1, 31)), ([1, 32], (0, 255)), ([1, 1], (0, 255))):
        frames = to_frames(np.resize(np.uint8(values), (1, 6, 6)), dims=2)
        assert (frames.low, frames.high) == scale, values
