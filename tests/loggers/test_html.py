"""The table of series that notebooks show."""

import math
import re

import pytest

from puffer_callbacks.loggers.html import series_table, sparkline


def curve(points):
    """The points of the curve in pixels, of 160 × 28 with a margin of 2."""
    found = re.search('points="(.*?)"', sparkline(points))
    return [] if found is None else [tuple(map(float, each.split(","))) for each in found[1].split()]


def test_a_curve_fills_its_box_with_the_highest_value_on_top():
    assert curve([(0, 1.0), (10, 3.0), (20, 2.0)]) == [(2, 26), (80, 2), (158, 14)]


def test_values_that_are_not_finite_are_left_out():
    assert curve([(0, math.nan), (10, 3.0), (15, -math.inf), (20, 1.0)]) == [(2, 2), (158, 26)]
    assert curve([(0, math.nan)]) == []


def test_a_constant_and_a_single_point_lie_in_the_middle():
    assert curve([(0, 5.0), (4, 5.0)]) == [(2, 14), (158, 14)]
    assert curve([(7, 5.0)]) == [(158, 14)]


def test_of_many_points_some_are_shown_and_the_last():
    shown = curve([(at, float(at)) for at in range(1000)])
    assert len(shown) == 126 and shown[-1] == (158, 2)  # every 8th of 999, and the last


@pytest.mark.parametrize(("tags", "rows", "note"), [(40, 41, ""), (43, 42, "… and 3 more tags")])
def test_further_tags_are_counted(tags, rows, note):
    html = series_table({f"<{at}>": [(0, 1.0)] for at in range(tags)}, caption="a & b")
    assert html.count("<tr>") == rows and note in html and ("more tags" in html) is bool(note)
    assert "&lt;39&gt;" in html and "a &amp; b" in html
