"""What is done at every step: the compiled way and the plain one, side by side."""

import gc
import math
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.recorder.sums import IS_COMPILED, Passage, PlainSums, Sums

KINDS = [PlainSums, Sums] if IS_COMPILED else [PlainSums]
NUMBERS = st.floats(-1e12, 1e12) | st.sampled_from([math.nan, math.inf, -math.inf])
compiled = pytest.mark.skipif(not IS_COMPILED, reason="built without a compiler")


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=20), st.booleans())
def test_sums_are_exact_and_what_is_not_finite_is_counted(kind, steps, as_tensors):
    sums = kind(("a", "b"), torch.Tensor.item)
    for a, b in steps:
        assert sums.add({"a": torch.tensor(a, dtype=torch.float64) if as_tensors else a, "b": b})
    taken = sums.take()
    assert list(taken) == (["a", "b"] if steps else [])
    columns = np.array(steps).reshape(-1, 2).T[: len(taken)]
    for (total, count, others), series in zip(taken.values(), columns, strict=True):
        finite = series[np.isfinite(series)]
        assert (count, others) == (len(finite), len(series) - len(finite))
        assert total == pytest.approx(math.fsum(finite), rel=1e-15, abs=1e-300)
    assert sums.steps == len(steps)
    assert sums.take() == {}


@pytest.mark.parametrize("kind", KINDS)
def test_small_numbers_beside_huge_ones_are_not_lost(kind):
    sums = kind(("x",), torch.Tensor.item)
    for number in (1e16, 1.0, 1.0, -1e16):
        sums.add({"x": number})
    assert sums.take() == {"x": (2.0, 4, 0)}


@pytest.mark.parametrize("kind", KINDS)
def test_whole_numbers_and_truth_values_count_too(kind):
    sums = kind(("x",), torch.Tensor.item)
    assert all(sums.add({"x": value}) for value in (2, True, torch.tensor(3), torch.tensor(True), np.float64(1)))
    assert sums.add({"x": 10**400}) is False
    assert sums.take() == {"x": (8.0, 5, 0)}


@pytest.mark.parametrize("kind", KINDS)
def test_sums_beyond_the_range_of_floats_are_infinite(kind):
    sums = kind(("x",), torch.Tensor.item)
    for _ in range(3):
        sums.add({"x": 1.5e308})
    assert sums.take() == {"x": (math.inf, 3, 0)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "outputs",
    [
        *(
            {},
            {"a": 1.0},
            {"b": 1.0, "a": 1.0},
            {"a": 1.0, "b": 1.0, "c": 1.0},
            {"a": 1.0, "c": 1.0},
            {"a": 1.0, 2: 1.0},
        ),
        *({"a": 1.0, "b": "1.0"}, {"a": 1.0, "b": None}, {"a": 1.0, "b": torch.ones(2)}, {"a": 1.0, "b": {}}),
        *({"a": 1.0, "b": torch.tensor(1j)}, {"a": 1.0, "b": torch.empty((), device="meta")}),
        *(None, [], 1.0, torch.tensor(1.0), {"a", "b"}),
    ],
)
def test_other_outputs_are_refused_and_nothing_is_added(kind, outputs):
    sums = kind(("a", "b"), torch.Tensor.item)
    assert sums.add({"a": 1.0, "b": torch.tensor(2.0)}) is True
    assert sums.add(outputs) is False
    assert sums.take() == {"a": (1.0, 1, 0), "b": (2.0, 1, 0)}
    assert (sums.names, sums.steps) == (("a", "b"), 1)


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_compared_not_looked_up_as_objects(kind):
    sums = kind(("scalar_1",), torch.Tensor.item)
    assert sums.add({f"scalar_{number}": 1.0 for number in (1,)})


@pytest.mark.parametrize("kind", KINDS)
def test_what_ends_the_run_is_not_held_back(kind):
    def interrupted(_):
        raise KeyboardInterrupt

    sums = kind(("x",), interrupted)
    with pytest.raises(KeyboardInterrupt):
        sums.add({"x": None})
    assert sums.take() == {}


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 0.25
        return self.now


class Run:
    """A passage with all that it looks at."""

    def __init__(self, *sums):
        self.slow, self.went_on = [], []
        self.trainer = SimpleNamespace(accumulate_grad_batches=1)
        self.counters = SimpleNamespace(optimizer_steps=0, learning_rates={})
        self.clock, self.sums = Clock(), sums
        slow = lambda *args, **named: self.slow.append((args, named))  # noqa: E731
        self.passage = Passage(self.counters, slow, self.go_on, self.clock)

    def go_on(self, ends):
        self.went_on.append(ends)

    def open(self, *, until=10, ends=sys.maxsize, due=math.inf, position=None, mark=sys.maxsize):
        self.passage.open(self.sums, until, ends, due, self.counters.learning_rates, position, mark)

    def step(self, outputs=None):
        self.passage(self.trainer, "module", outputs, "batch", 0)
        return len(self.slow)


@compiled
def test_nothing_passes_before_it_is_opened_and_after_it_is_closed():
    run = Run(Sums(("x",), torch.Tensor.item))
    assert run.step({"x": 1.0}) == 1
    run.open()
    assert run.step({"x": 2.0}) == 1
    assert run.passage.close() is True
    assert run.step({"x": 4.0}) == 2
    assert run.passage.close() is False
    assert run.sums[0].take() == {"x": (2.0, 1, 0)}
    assert run.slow[-1] == ((run.trainer, "module", {"x": 4.0}, "batch", 0), {})
    assert (run.passage.take(), run.passage.take()) == ((1, 0.25), (0, 0.0))


@compiled
@pytest.mark.parametrize(
    "change",
    [
        lambda run: setattr(run.counters, "optimizer_steps", 10),
        lambda run: setattr(run.counters, "optimizer_steps", -1),
        lambda run: setattr(run.counters, "optimizer_steps", "ten"),
        lambda run: setattr(run.counters, "learning_rates", {}),
        lambda run: setattr(run.clock, "now", 100.0),
        lambda run: setattr(run.trainer, "accumulate_grad_batches", 2),
        lambda run: delattr(run.trainer, "accumulate_grad_batches"),
        lambda run: delattr(run.counters, "learning_rates"),
    ],
)
def test_a_step_at_which_something_is_due_takes_the_slow_way(change):
    run = Run(Sums(("x",), torch.Tensor.item))
    run.open(due=100.0)
    assert run.step({"x": 1.0}) == 0
    change(run)
    assert run.step({"x": 2.0}) == 1
    assert run.sums[0].take() == {"x": (1.0, 1, 0)}


@compiled
def test_outputs_of_other_names_take_the_slow_way_and_are_added_nowhere():
    run = Run(Sums(("x",), torch.Tensor.item), Sums(("x",), torch.Tensor.item))
    run.open()
    assert [run.step({"x": 1.0}), run.step({"y": 1.0}), run.step(None), run.step({"x": "1"})] == [0, 1, 2, 3]
    assert [sums.take() for sums in run.sums] == [{"x": (1.0, 1, 0)}] * 2


@compiled
@pytest.mark.parametrize("by_position", [True, False])
def test_where_the_axis_moves_on_the_row_is_written_once_and_the_step_is_taken(by_position):
    run = Run(Sums(("x",), torch.Tensor.item))
    run.open(position=(lambda: run.counters.optimizer_steps) if by_position else None, mark=3)
    for steps in range(1, 7):
        run.counters.optimizer_steps = steps
        run.step({"x": 1.0})
        assert run.went_on == [False] * (steps > 3)
    assert (run.sums[0].take(), run.slow) == ({"x": (6.0, 6, 0)}, [])


@compiled
@pytest.mark.parametrize(
    ("mark", "ends", "went_on"),
    [(sys.maxsize, 4, [True]), (3, 4, [True]), (2, 5, [False, True]), (4, 3, [True, False]), (9, 9, [])],
)
def test_where_an_interval_ends_that_is_told_once_and_the_step_is_in_it(mark, ends, went_on):
    run = Run(Sums(("x",), torch.Tensor.item))
    run.open(mark=mark, ends=ends)
    told = []
    for steps in range(1, 7):
        run.counters.optimizer_steps = steps
        run.step({"x": 1.0})
        told += [steps] * (len(run.went_on) - len(told))
    assert run.went_on == went_on
    assert told == [step for step in sorted({mark + 1, ends}) if step <= 6]
    assert (run.sums[0].steps, run.slow) == (6, [])


@compiled
def test_a_passage_may_be_opened_anew_where_an_interval_ends():
    run = Run(Sums(("x",), torch.Tensor.item))
    taken = []

    def go_on(_):
        taken.append(run.sums[0].take()["x"])
        run.open(ends=run.counters.optimizer_steps + 2)

    run.passage = Passage(run.counters, run.slow.append, go_on, run.clock)
    run.open(ends=2)
    for steps in range(1, 7):
        run.counters.optimizer_steps = steps
        run.step({"x": float(steps)})
    assert (taken, run.slow) == ([(3.0, 2, 0), (7.0, 2, 0), (11.0, 2, 0)], [])


@compiled
@pytest.mark.parametrize("position", [lambda: None, lambda: -1, lambda: 1 / 0, "nowhere"])
def test_where_nobody_knows_the_place_the_slow_way_is_asked(position):
    run = Run(Sums(("x",), torch.Tensor.item))
    run.open(position=position)
    assert (run.step({"x": 1.0}), run.sums[0].steps) == (1, 0)


@compiled
def test_what_going_on_raises_is_raised():
    run = Run()
    run.go_on = lambda _: 1 / 0
    run.passage = Passage(run.counters, run.slow.append, run.go_on, run.clock)
    run.open(mark=-1)
    with pytest.raises(ZeroDivisionError):
        run.step()
    assert run.slow == []


@compiled
def test_without_sums_any_outputs_pass():
    run = Run()
    run.open()
    assert run.step(None) == run.step({"x": torch.ones(2)}) == 0


@compiled
def test_other_calls_are_the_slow_way_s():
    run = Run()
    run.open()
    run.passage(run.trainer, "module", {})
    run.passage(run.trainer, "module", {}, "batch", batch_idx=1)
    assert [len(args) for args, _ in run.slow] == [3, 4]
    assert run.slow[-1][1] == {"batch_idx": 1}


@compiled
def test_a_passage_is_opened_with_sums_of_the_same_names():
    run = Run(Sums(("x",), torch.Tensor.item), Sums(("y",), torch.Tensor.item))
    with pytest.raises(ValueError, match="expected the same names"):
        run.open()
    with pytest.raises(TypeError, match="expected Sums"):
        Run(PlainSums(("x",), torch.Tensor.item)).open()
    assert run.step({"x": 1.0}) == 1


@compiled
def test_what_the_slow_way_raises_is_raised():
    def slow(*_):
        raise OSError("no space left")

    passage = Passage(SimpleNamespace(optimizer_steps=0, learning_rates={}), slow, slow, Clock())
    with pytest.raises(OSError, match="no space left"):
        passage(None, None, None, None, 0)


@compiled
def test_an_interrupt_while_a_number_is_read_is_not_held_back():
    def interrupted(_):
        raise KeyboardInterrupt

    run = Run(Sums(("x",), interrupted))
    run.open()
    with pytest.raises(KeyboardInterrupt):
        run.step({"x": None})
    assert run.slow == []


@compiled
def test_who_reads_cannot_add_meanwhile():
    sums = Sums(("x",), lambda _: float(sums.add({"x": 100.0})))
    assert sums.add({"x": None})
    assert sums.take() == {"x": (0.0, 1, 0)}


@compiled
def test_a_passage_that_is_closed_while_it_reads_is_safe():
    def closing(_):
        run.passage.close()
        return 1.0

    run = Run(Sums(("x",), closing))
    run.open()
    assert run.step({"x": None}) == 0
    assert run.sums[0].take() == {"x": (1.0, 1, 0)}
    assert run.step({"x": None}) == 1


@compiled
def test_a_passage_and_who_holds_it_are_freed_together():
    run = Run(Sums(("x",), torch.Tensor.item))
    run.open()
    run.counters.passage = run.passage  # a cycle, as a recorder is in one
    gone = weakref.ref(run.clock)
    del run
    gc.collect()
    assert gone() is None


@compiled
@pytest.mark.parametrize("names", [["x"], ("x", 1), None])
def test_names_are_a_tuple_of_strings(names):
    with pytest.raises(TypeError):
        Sums(names, torch.Tensor.item)
