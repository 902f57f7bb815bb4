from collections import UserDict
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.values.scalars import as_scalar, examples_in, scalars_of, stacked, to_floats

DTYPES = [torch.float64, torch.float32, torch.int64, torch.bool, torch.bfloat16]


SPARSE = [torch.ones(1).to_sparse(), torch.tensor(1.0).to_sparse()]


@pytest.mark.parametrize(
    "value", ["1", None, [1.0], 1j, np.ones(2), torch.ones(2), torch.tensor(1j), *SPARSE, {}, object()]
)
def test_a_value_that_is_not_a_scalar_is_none(value):
    assert as_scalar(value) is None


def test_a_tensor_stays_on_its_device_and_loses_its_graph():
    weight = torch.ones((), requires_grad=True)
    scalar = as_scalar(weight * 2)
    assert isinstance(scalar, torch.Tensor)
    assert not scalar.requires_grad


def test_an_integer_beyond_float64_is_infinite():
    assert (as_scalar(10**400), as_scalar(-(10**400))) == (float("inf"), float("-inf"))


def test_a_mapping_that_contains_itself_ends():
    outputs = {"loss": 0.5}
    outputs["again"] = outputs
    assert scalars_of(outputs) == {"again/" * depth + "loss": 0.5 for depth in range(17)}


@dataclass
class Batch:
    """A batch in a class of the user's own, with a field that is set later."""

    observations: object
    cached: object = field(init=False)


def containing_itself(kind):
    batch = kind()
    batch["again"] = batch
    return batch


class ReadFromDisk(UserDict):
    def __getitem__(self, name):
        if name == "video":
            raise OSError("Input/output error")
        return super().__getitem__(name)


@pytest.mark.parametrize(
    ("batch", "examples"),
    [
        (Batch(torch.zeros(6, 4)), 6),
        (Batch([torch.tensor(3), Batch(torch.zeros(2, 4))]), 2),
        (Batch("none"), 1),
        (ReadFromDisk(observations=torch.zeros(6, 4), video=None), 6),
        (ReadFromDisk(video=None, observations=torch.zeros(6, 4)), 1),
        *((containing_itself(kind), 1) for kind in (dict, UserDict)),
    ],
)
def test_the_examples_in_a_batch_of_any_kind_end_no_run(batch, examples):
    assert examples_in(batch) == examples


@given(st.lists(st.tuples(st.integers(0, 1), st.sampled_from(DTYPES)), min_size=1, max_size=8))
def test_scalars_of_any_dtypes_stack_into_a_copy(drawn):
    scalars = [torch.tensor(value, dtype=dtype) for value, dtype in drawn]
    row = stacked(scalars)
    for scalar in scalars:
        scalar.fill_(7)
    assert row.double().tolist() == [float(value) for value, _ in drawn]


def test_floats_keep_their_order_and_their_bits():
    scalars = {
        "a": torch.tensor(0.1, dtype=torch.float64),
        "b": 0.2,
        "c": torch.tensor(3),
        "d": torch.tensor(True),
    }
    floats = to_floats(scalars)
    assert list(floats.items()) == [("a", 0.1), ("b", 0.2), ("c", 3.0), ("d", 1.0)]
    assert all(type(value) is float for value in floats.values())
    assert to_floats({}) == {}
