import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks import Every
from puffer_callbacks.schedule import check_counts, check_flags


@given(st.integers(1, 50), st.lists(st.integers(0, 120), max_size=60))
def test_fires_exactly_where_a_multiple_is_crossed(n, jumps):
    every, count, before = Every(n), 0, 0
    for jump in jumps:
        before, count = count, count + jump
        crossed = any(multiple % n == 0 for multiple in range(before + 1, count + 1))
        assert every.is_due(count) is crossed
        assert every.fires(count) is crossed


def test_a_counter_that_jumps_by_a_batch_still_fires():
    every = Every(1000)
    fired = [step for step in range(0, 100_000, 256) if every.fires(step)]
    assert len(fired) == 99_840 // 1000
    assert not any(step % 1000 == 0 for step in fired[:3])


def test_a_long_jump_fires_once():
    every = Every(10)
    assert every.fires(1000)
    assert not every.fires(1009)
    assert every.fires(1010)


def test_does_not_fire_at_zero_or_at_an_unchanged_count():
    every = Every(1)
    assert [every.fires(step) for step in (0, 0, 1, 1, 2)] == [False, False, True, False, True]


def test_is_due_does_not_move_the_counter():
    every = Every(5)
    assert every.is_due(5) and every.is_due(5)
    assert every.last == 0
    assert every.fires(5)


def test_resume_at_sets_the_counter_without_firing():
    every = Every(10)
    every.resume_at(95)
    assert every.last == 95
    assert not every.fires(99)
    assert every.fires(100)


@pytest.mark.parametrize("n", [1, 10])
@pytest.mark.parametrize("start", [0, 1])
def test_a_counter_that_was_reset_fires_again(n, start):
    every = Every(n)
    assert every.fires(1000)
    assert [step for step in range(start, 31) if every.fires(step)] == [*range(n, 31, n)]  # not at 0


@pytest.mark.parametrize("interval", [0, -1])
def test_an_interval_below_one_raises(interval):
    with pytest.raises(ValueError, match=f"at least 1, got {interval}"):
        Every(interval)


@pytest.mark.parametrize("interval", [1.0, "10", None, True])
def test_an_interval_that_is_not_an_integer_raises(interval):
    with pytest.raises(TypeError, match=f"expected an interval that is an integer, got {interval!r}"):
        Every(interval)


def test_at_the_start_it_fires_at_the_first_step_too():
    every = Every(10, at_start=True)
    assert [step for step in range(31) if every.fires(step)] == [1, 10, 20, 30]
    assert (every.next_after(0), every.next_after(1), every.next_after(9), every.next_after(10)) == (1, 10, 10, 20)


def test_a_firing_that_is_overdue_at_a_checkpoint_is_made_up_for():
    saved, every = Every(10), Every(10)
    saved.resume_at(9)
    every.load(saved.last)
    assert every.last == 9  # as good as the first, if it is saved before the start
    every.resume_at(15)
    assert (every.next, every.fires(15)) == (10, True)
    every.resume_at(19)  # another fit, without a checkpoint
    assert (every.last, every.next) == (19, 20)


@pytest.mark.parametrize("count", [1, 7, np.int64(3)])
def test_counts_are_integers_of_at_least_one(count):
    check_counts(num_envs=count)
    with pytest.raises(ValueError, match=f"num_envs: expected an integer of at least {count + 1}, got {count}"):
        check_counts(at_least=count + 1, num_envs=count)


@pytest.mark.parametrize("count", [True, 1.0, "1", None])
def test_a_count_of_another_type_is_refused(count):
    with pytest.raises(TypeError, match=f"num_envs: expected an integer of at least 1, got {count!r}"):
        check_counts(num_envs=count)


def test_a_flag_is_true_or_false():
    check_flags(a=True, b=False, c=1, d=0.0, e=np.bool_(True))
    for value in (2, "true", None):
        with pytest.raises(TypeError, match=f"a: expected True or False, got {value!r}"):
            check_flags(a=value)


def test_the_multiplier_widens_the_interval():
    every = Every(10)
    every.multiplier = 3
    assert [step for step in range(1, 100) if every.fires(step)] == [30, 60, 90]
