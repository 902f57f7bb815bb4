import numpy as np
import pytest

from puffer_callbacks.pictures.colormap import MISSING, VIRIDIS, colorize, scaled


def test_the_colors_are_viridis():
    matplotlib = pytest.importorskip("matplotlib")
    expected = np.array(matplotlib.colormaps["viridis"].colors) * 255
    assert np.abs(VIRIDIS - expected).max() <= 5.5


def test_brightness_increases_with_the_value():
    luma = VIRIDIS @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luma[::4]) > 0).all()


def test_numbers_are_mapped_linearly_to_colors():
    pixels = colorize([[-1.0, 0.0, 0.5, 1.0, 2.0]], low=0, high=1)
    assert np.array_equal(pixels[0], VIRIDIS[[0, 0, 128, 255, 255]])


def test_non_finite_numbers_are_magenta():
    pixels = colorize([np.nan, np.inf, -np.inf], low=0, high=1)
    assert (pixels == MISSING).all()
    assert not (VIRIDIS == MISSING).all(-1).any()


def test_an_empty_range_maps_to_the_middle_and_large_floats_do_not_overflow():
    assert np.array_equal(colorize([3.0], low=3, high=3)[0], VIRIDIS[128])
    big = np.finfo(np.float64).max
    assert scaled(np.array([-big, 0.0, big]), low=-big, high=big).tolist() == [0.0, 0.5, 1.0]
