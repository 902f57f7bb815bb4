"""Durations at the ends of each unit."""

import pytest

from puffer_callbacks.values.durations import duration

SHOWN = {
    0.0: "0 s",
    0.0123: "0.012 s",
    9.94: "9.9 s",
    10.4: "10 s",
    12.5: "12 s",
    59.4: "59 s",
    59.6: "1 min 0 s",
    3599.4: "59 min 59 s",
    3599.6: "1 h 0 min",
    90_059.0: "25 h 0 min",
}


@pytest.mark.parametrize("seconds", SHOWN)
def test_a_duration_is_rounded_into_the_next_unit(seconds: float) -> None:
    assert duration(seconds) == SHOWN[seconds]
