"""Numbers as lines show them."""

import pytest

from puffer_callbacks.loggers.lines import is_count, metric_lines


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0.0000"),
        (0.001, "0.0010"),
        (0.0009, "9.0000e-04"),
        (-0.0009, "-9.0000e-04"),
        (999.0, "999.0000"),
        (1000.0, "1000"),
        (-1000.0, "-1000"),
        (1000.5, "1000.5000"),
        (1e12, "1.0000e+12"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
    ],
)
def test_a_number_is_shown_so_that_its_digits_mean_something(value, shown):
    assert metric_lines({"train/loss": value}) == [f"train/loss = {shown}"]


def test_a_count_is_whole():
    assert metric_lines({"epoch": 3.0, "time/env_steps": 4e12}) == ["epoch = 3", "time { env_steps=4000000000000 }"]
    assert not is_count("epoch", 2.5)
