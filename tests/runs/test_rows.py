import math
import random

import pytest

from puffer_callbacks.runs.contents import Contents
from puffer_callbacks.runs.rows import RowReader


def read(*rows, **options):
    contents = Contents()
    reader = RowReader(contents, **options)
    for row in rows:
        reader.add(row)
    return contents


def points(contents, tag):
    column = contents.scalars[tag]
    return list(zip(column.steps, column.values, strict=True))


@pytest.mark.parametrize(
    "name", ["step", "global_step", "agent_steps", "time/total_timesteps", "trainer/global_step", "_step"]
)
def test_the_step_is_found_by_its_name(name):
    assert points(read({name: 64, "x": 1.0}), "x") == [(64, 1.0)]


@pytest.mark.parametrize("step", [True, math.nan, math.inf, None, "64", 2.0**63, 10**400, -(10**400)])
def test_what_is_no_number_of_steps_is_no_step(step):
    assert points(read({"x": 1.0}, {"step": step, "x": 2.0}), "x") == [(0, 1.0), (1, 2.0)]


def test_a_step_column_that_comes_later_beats_the_count_of_rows():
    contents = read({"_step": 0, "x": 1}, {"_step": 1, "global_step": 500, "x": 2}, {"_step": 2, "x": 3})
    assert points(contents, "x") == [(0, 1), (500, 2), (500, 3)]


def test_rows_without_any_step_count_themselves():
    assert points(read({"x": 1}, {"y": 5}, {"x": 2}), "x") == [(0, 1), (2, 2)]


def test_a_named_step_column_comes_first():
    assert points(read({"axes/env_steps": 7, "global_step": 3, "x": 1}, step_name="axes/env_steps"), "x") == [(7, 1)]


def test_time_since_the_epoch_and_since_the_start():
    contents = read(*({"step": step, "time": time, "x": 1} for step, time in enumerate((1.7e9, 12.5, 10**400))))
    first, second, third = contents.scalars["x"].wall_times
    assert first == 1.7e9
    assert math.isnan(second) and math.isnan(third)


def test_nested_names_and_odd_values():
    contents = read({"step": 1, "loss": {"value": {"mean": 2}}, "flag": True, "huge": 10**400, "no": None, "l": [1]})
    assert points(contents, "loss/value/mean") == [(1, 2.0)]
    assert points(contents, "flag") == [(1, 1.0)]
    assert points(contents, "huge") == [(1, float("inf"))]
    assert set(contents.scalars) == {"loss/value/mean", "flag", "huge"}


CELLS = [None, 0.5, -3.0, math.nan, math.inf, 2.0**70, 1.7e9, "warm"]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "names", [["x"], ["step", "x"], ["_step", "global_step", "x"], ["time", "_timestamp", "step", "x"]]
)
def test_columns_are_read_as_their_rows_are(names, seed):
    """Steps that are missing for a while, or no steps, and columns that come up late, over several calls."""
    choose = random.Random(seed)
    rows = [
        {name: choose.choice(CELLS if seed % 2 or name == "x" else [64.0, 128.0]) for name in names} for _ in range(30)
    ]
    by_column = Contents()
    reader = RowReader(by_column)
    for first in range(0, len(rows), 7):
        some = rows[first : first + 7]
        reader.add_columns({name: [row[name] for row in some] for name in names}, len(some))
    by_row = read(*rows)
    assert by_column.text == by_row.text
    assert list(by_column.scalars) == [name for name in names if name in by_row.scalars]
    for tag, column in by_row.scalars.items():
        for part in ("steps", "values", "wall_times"):
            assert repr(getattr(by_column.scalars[tag], part)) == repr(getattr(column, part))
