"""Points of the x axis, by hand."""

import warnings

import pytest

from puffer_callbacks.axes import Axes
from puffer_callbacks.faults import Faults, PufferWarning
from puffer_callbacks.recorder.row_axis import RowAxis


def points(axis, counts):
    """The points of rows at these environment steps, and the lines that are reported on the way."""
    found, before = [], None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for count in counts:
            before = axis.x(axis.after(before, Axes(count, 1, 0.0)))
            found.append(before)
    assert {each.category for each in caught} <= {PufferWarning}
    return found, [str(each.message) for each in caught]


@pytest.mark.parametrize(
    ("counts", "expected", "reported"),
    [
        ([4, 8, 20], [4, 8, 20], ""),
        ([4, 4, 4, 5, 9], [4, 5, 6, 7, 9], ""),  # it stands still, and is overtaken
        ([4, 8, 2, 3, 20], [4, 8, 9, 10, 20], "expected a count that only grows, got 2 after 8"),
    ],
)
def test_points_rise_where_the_count_does_not(counts, expected, reported):
    found, lines = points(RowAxis("env_steps", Faults()), counts)
    assert found == expected
    assert len(lines) == bool(reported) and reported in "".join(lines)


def test_another_axis_begins_without_the_highest_count_of_the_one_before():
    axis = RowAxis("auto", Faults())
    axis.choose("optimizer_steps")
    assert axis.after(None, Axes(None, 50, 0.0)).optimizer_steps == 50
    axis.choose("env_steps")
    assert axis.state() == "env_steps"
    found, lines = points(axis, [8, 8, 16])
    assert (found, lines) == ([8, 9, 16], [])
