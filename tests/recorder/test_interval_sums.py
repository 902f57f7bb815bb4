import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.recorder.interval_sums import IntervalSums, merge_totals
from tests.support.accelerator import Accelerator

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


def test_pop_starts_a_new_interval():
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


def on_device(accelerator, **scalars):
    return {name: accelerator.put(torch.tensor(value)) for name, value in scalars.items()}


def test_scalars_of_a_device_reach_the_host_in_one_copy_an_interval():
    values = np.random.default_rng(0).normal(size=(2, 100, 2)).astype(np.float32)
    values[0, 7, 1] = math.nan
    sums = IntervalSums()
    with Accelerator() as accelerator:
        for interval in values:
            for loss, kl in interval.tolist():
                sums.add(on_device(accelerator, loss=loss, kl=kl), {"learning_rate": 0.1})
            assert accelerator.waits.total() == 0  # between firings
            found = sums.pop()
            assert accelerator.waits.total() == 1
            accelerator.waits.clear()
            finite = [column[np.isfinite(column)].astype(np.float64) for column in interval.T]
            for name, column in zip(("loss", "kl"), finite, strict=True):
                assert found[name] == (pytest.approx(math.fsum(column), rel=1e-6), len(column), 100 - len(column))
            assert found["learning_rate"] == (pytest.approx(10.0), 100, 0)


def test_a_long_interval_on_a_device_is_copied_in_blocks():
    sums = IntervalSums()
    with Accelerator() as accelerator:
        for step in range(1000):
            sums.add(on_device(accelerator, loss=float(step)))
        found = sums.pop()
        assert accelerator.waits.total() == 4  # of 256 steps at most: memory stays flat
    assert found == {"loss": (499500.0, 1000, 0)}


def test_scalars_of_a_device_and_of_the_host_in_one_step():
    sums = IntervalSums()
    with Accelerator() as accelerator:
        for step in range(4):
            sums.add({**on_device(accelerator, loss=float(step)), "kl": 0.5, "steps": torch.tensor(step)})
        assert accelerator.waits.total() == 0
        assert sums.pop() == {"loss": (6.0, 4, 0), "kl": (2.0, 4, 0), "steps": (6.0, 4, 0)}


def test_a_device_scalar_changed_in_place_later_counts_as_it_was():
    sums = IntervalSums()
    with Accelerator() as accelerator:
        value = accelerator.put(torch.zeros(()))
        for _ in range(4):
            value.add_(1)
            sums.add({"loss": value})
        value.fill_(math.nan)
        assert sums.pop() == {"loss": (10.0, 4, 0)}


def test_the_totals_of_ranks_add_up():
    parts = [taken([{"x": float(value), f"only_{rank}": 1.0} for value in range(rank, 20, 3)]) for rank in range(3)]
    assert merge_totals(parts) == {
        "x": (190.0, 20, 0),
        "only_0": (7.0, 7, 0),
        "only_1": (7.0, 7, 0),
        "only_2": (6.0, 6, 0),
    }


@pytest.mark.parametrize("kind", [torch.tensor, float, np.float64])
def test_the_loss_is_multiplied_by_what_it_was_divided_by(kind):
    sums = IntervalSums()
    sums.add({"loss": kind(0.5), "kl": kind(0.5)}, loss_scale=4)
    sums.add({"loss": kind(0.25), "kl": kind(0.25)}, loss_scale=4)
    sums.add({"loss": kind(2.0), "kl": kind(2.0)}, loss_scale=1)
    assert sums.pop() == {"loss": (5.0, 3, 0), "kl": (2.75, 3, 0)}


def test_a_complex_number_where_a_real_one_was_is_counted_as_no_number():
    steps = [{"x": torch.tensor(1.0)}, {"x": torch.tensor(2.0)}, {"x": torch.tensor(1j)}]
    assert taken(steps)["x"][:2] == (3.0, 2)


def test_a_learning_rate_has_a_name_of_its_own_at_every_step():
    sums = IntervalSums()
    for _ in range(3):
        sums.add({"learning_rate": 1.0, "learning_rate/0": 2.0}, {"learning_rate": 0.5})
    assert sums.pop() == {
        "learning_rate": (3.0, 3, 0),
        "learning_rate/0": (6.0, 3, 0),
        "learning_rate/0/0": (1.5, 3, 0),
    }
