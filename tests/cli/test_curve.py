import numpy as np
import pytest

from puffer_callbacks.cli.curve import braille_curve


def dots(line: str) -> np.ndarray:
    """The dots [4, 2 * characters] of a line of braille, by Unicode's numbering."""
    places = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]
    shown = np.zeros((4, 2 * len(line)), bool)
    for at, character in enumerate(line):
        for bit, (row, column) in enumerate(places):
            shown[row, 2 * at + column] = (ord(character) - 0x2800) >> bit & 1
    return shown


def heights(lines: list[str]) -> np.ndarray:
    """The height of the curve in each column, counted in dots from the bottom."""
    chart = np.concatenate([dots(line.partition("┤")[2]) for line in lines])
    assert (chart.sum(0) == 1).all()
    return len(chart) - 1 - chart.argmax(0)


@pytest.mark.parametrize("length", [2, 7, 100, 1234])
def test_a_line_rises_from_the_lowest_dot_to_the_highest(length):
    lines = braille_curve(np.linspace(-3.0, 20.0, length), width=50, height=4)
    assert len(lines) == 4 and lines[0].startswith(" 20.0 ┤")
    assert float(lines[-1].partition("┤")[0]) == pytest.approx(-3.0, abs=0.03)  # of a long one its first mean
    shown = heights(lines)
    assert shown[0] == 0 and shown[-1] == 15 and (np.diff(shown) >= 0).all()
    np.testing.assert_allclose(shown, np.linspace(0, 15, 100), atol=1)


def test_a_constant_is_flat_and_one_value_is_a_curve():
    assert (heights(braille_curve([5.0, 5.0, 5.0])) == 0).all()
    assert len(braille_curve([5.0])) == 4


def test_the_highest_value_is_where_it_was():
    values = np.zeros(200)
    values[100:140] = 1.0
    columns = np.flatnonzero(heights(braille_curve(values, width=50)) == 15)
    assert 49 <= columns[0] <= 52 and 67 <= columns[-1] <= 70


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_a_gap(odd):
    values = np.concatenate([np.linspace(0.0, 3.0, 50), [odd] * 50, np.linspace(3.0, 6.0, 100)])
    lines = braille_curve(values, width=50)
    assert lines[0].startswith("5.98 ┤") and lines[-1].startswith("0.00 ┤")
    chart = np.concatenate([dots(line.partition("┤")[2]) for line in lines])
    assert chart[:, 28:48].sum() == 0
    assert (chart[:, :24].sum(0) == 1).all() and (chart[:, 52:].sum(0) == 1).all()


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_curve_without_finite_values_is_empty(odd):
    lines = braille_curve([odd] * 3)
    assert len(lines) == 4 and not set("".join(lines)) - set(" nan┤\u2800")
