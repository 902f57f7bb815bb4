import numpy as np
import pytest

from puffer_callbacks.pictures.text import draw_text, number


def test_lines_of_text_have_equal_height_on_a_white_background():
    lines = [draw_text(text) for text in ("head 0", "gypq", "", "two\nlines")]
    assert len({line.shape[0] for line in lines}) == 1
    assert lines[0].min() < 60 and lines[0].max() == 255
    assert (lines[2] == 255).all()


def test_a_long_line_is_cut_at_its_width():
    assert draw_text("attention " * 40, width=100).shape[1] <= 101
    assert draw_text("a", width=100).shape[1] < 100


def test_a_larger_font_gives_a_higher_picture():
    assert draw_text("word", size=24).shape[0] > draw_text("word", size=12).shape[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.0, "0"),
        (1234567.0, "1.23e+06"),
        (1234567, "1234567"),
        (True, "1"),
        (float("nan"), "nan"),
        (np.array([0.5, -1.25]), "0.5, -1.25"),
        (np.arange(4), "0, 1, 2, 3"),
        (np.arange(5), "0, 1, 2, …"),
        ("go north", "go north"),
    ],
)
def test_numbers_have_three_significant_digits(value, expected):
    assert number(value) == expected
