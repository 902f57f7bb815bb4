import numpy as np
import pytest

from puffer_callbacks.pictures.text import number, words


def test_words_are_ink_on_paper_of_one_height():
    lines = [words(text) for text in ("head 0", "gypq", "", "two\nlines")]
    assert len({line.shape[0] for line in lines}) == 1
    assert lines[0].min() < 60 and lines[0].max() == 255
    assert (lines[2] == 255).all()


def test_a_long_line_is_cut_at_its_room():
    assert words("attention " * 40, width=100).shape[1] <= 101
    assert words("a", width=100).shape[1] < 100


def test_larger_letters_take_more_room():
    assert words("word", size=24).shape[0] > words("word", size=12).shape[0]


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
def test_numbers_take_few_signs(value, expected):
    assert number(value) == expected
