import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.recorder.interval_sums import IntervalSums

NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf])
STEPS = st.lists(st.dictionaries(st.sampled_from("abcd"), NUMBERS, max_size=4), max_size=30)


def taken(steps):
    sums = IntervalSums()
    for step in steps:
        sums.add(step)
    return sums.pop()


@given(STEPS, st.booleans())
def test_the_sum_is_over_every_finite_step_at_which_the_key_was_there(steps, as_tensors):
    given_steps = [
        {k: torch.tensor(v, dtype=torch.float64) if as_tensors else v for k, v in step.items()} for step in steps
    ]
    found = taken(given_steps)
    assert set(found) == {key for step in steps for key in step}
    for key, (total, count, others) in found.items():
        series = np.array([step[key] for step in steps if key in step])
        finite = series[np.isfinite(series)]
        assert (count, others) == (len(finite), len(series) - len(finite))
        assert total == pytest.approx(math.fsum(finite), rel=1e-9, abs=1e-9)


def test_memory_stays_flat_and_the_sum_exact_over_a_long_interval():
    values = np.random.default_rng(0).normal(1e4, 1.0, 3000).astype(np.float32)
    ((total, count, _),) = taken({"x": torch.tensor(v)} for v in values).values()
    assert count == 3000
    assert total == pytest.approx(math.fsum(values.astype(np.float64)), rel=1e-14)


def test_a_tensor_changed_in_place_later_counts_as_it_was():
    value = torch.zeros(())
    sums = IntervalSums()
    for _ in range(4):
        value += 1
        sums.add({"x": value})
    value.fill_(math.nan)
    assert sums.pop()["x"] == (10.0, 4, 0)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
)
def test_sums_do_not_overflow_the_dtype(dtype):
    assert taken([{"x": torch.tensor(200, dtype=dtype)}] * 1000)["x"] == (200_000.0, 1000, 0)


def test_booleans_are_counted():
    assert taken([{"x": torch.tensor(step % 4 == 0)} for step in range(8)])["x"] == (2.0, 8, 0)


def test_a_key_may_change_its_dtype_and_its_kind():
    steps = [
        torch.tensor(1.0),
        torch.tensor(2),
        torch.tensor(3.0, dtype=torch.float64),
        4.0,
        torch.tensor(True),
    ]
    assert taken([{"x": value} for value in steps])["x"] == (11.0, 5, 0)


def test_take_starts_a_new_interval():
    sums = IntervalSums()
    sums.add({"x": torch.tensor(1.0)})
    sums.pop()
    assert sums.pop() == {}
    sums.add({"x": torch.tensor(3.0)})
    assert sums.pop()["x"] == (3.0, 1, 0)


def test_a_checkpoint_continues_the_interval():
    first, second = IntervalSums(), IntervalSums()
    first.add({"x": torch.tensor(1.0), "y": math.nan})
    second.add({"x": torch.tensor(100.0)})
    second.load_state_dict(first.state_dict())
    second.add({"x": torch.tensor(3.0), "y": 2.0})
    assert second.pop() == {"x": (4.0, 2, 0), "y": (2.0, 1, 1)}
