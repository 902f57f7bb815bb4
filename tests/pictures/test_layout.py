import numpy as np
import pytest

from puffer_callbacks.pictures.layout import BACKGROUND, framed, grid, hstack, resized, vstack


def tile(value, height=4, width=6):
    return np.full((height, width, 3), value, np.uint8)


def test_hstack_and_vstack_place_and_align_pictures():
    row = hstack([tile(1), tile(2, height=2)], gap=3)
    assert row.shape == (4, 15, 3)
    assert (row[:, :6] == 1).all() and (row[:, 6:9] == BACKGROUND).all()
    assert (row[:2, 9:] == 2).all() and (row[2:, 9:] == BACKGROUND).all()
    column = vstack([tile(1), tile(2, width=2)], gap=1, align_right=True)
    assert (column[5:, 4:] == 2).all() and (column[5:, :4] == BACKGROUND).all()


def test_a_grid_fills_its_rows_in_order():
    page = grid([tile(i) for i in range(5)], columns=2, gap=0)
    assert page.shape == (12, 12, 3)
    assert [int(page[y, x, 0]) for y in (0, 4, 8) for x in (0, 6)] == [0, 1, 2, 3, 4, BACKGROUND]


def test_framed_adds_background_on_every_side():
    page = framed(tile(7), margin=2)
    assert page.shape == (8, 10, 3) and (page[2:-2, 2:-2] == 7).all() and (page[0] == BACKGROUND).all()


@pytest.mark.parametrize(
    ("shape", "bounds", "expected"),
    [
        ((3, 7), (20, 100), (9, 21)),
        ((3, 7), (20, 20), (6, 14)),  # no larger than allowed
        ((50, 20), (20, 100), (50, 20)),
        ((500, 20), (20, 100), (100, 4)),
        ((1, 5000), (20, 100), (1, 100)),
    ],
)
def test_resized_keeps_the_longer_side_within_bounds(shape, bounds, expected):
    least, most = bounds
    assert resized(tile(0, *shape), at_least=least, at_most=most).shape[:2] == expected


def test_enlarging_repeats_and_shrinking_averages():
    pixels = np.random.default_rng(0).integers(0, 256, (4, 4, 3)).astype(np.uint8)
    assert np.array_equal(resized(pixels, at_least=12)[::3, ::3], pixels)
    means = pixels.reshape(2, 2, 2, 2, 3).mean((1, 3))
    assert np.abs(resized(pixels, at_most=2) - means).max() <= 1
