"""The compiled loops against the plain way."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.histogram import native
from puffer_callbacks.histogram.kernels import CHUNK, SMALL
from puffer_callbacks.values import Histogram
from tests.support.tensors import assert_same, tensors

pytestmark = pytest.mark.skipif(not native.IS_COMPILED, reason="built without a compiler")
FLOATS = st.floats(width=32)


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_the_compiled_loops_count_right_or_not_at_all(values: list[float]) -> None:
    tensor = torch.tensor(np.array(values, np.float32))
    found = native.sketch_compiled({"x": tensor})["x"]
    rare = [value for value in values if not math.isfinite(value) or 0 < abs(value) < np.finfo(np.float32).tiny]
    assert (found is None) == bool(rare)
    if found is not None:
        assert_same(found, Histogram.of(tensor))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4095, 4097, SMALL - 1, SMALL, SMALL + 3, CHUNK, 3 * CHUNK + 5])
def test_the_compiled_loops_at_the_ends_of_their_blocks(size: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(size))
    found = native.sketch_compiled({"x": tensor, "last": tensor[-1:]})
    assert_same(found["x"], Histogram.of(tensor))
    assert_same(found["last"], Histogram.of(tensor[-1:]))
    assert found["x"].sum == pytest.approx(math.fsum(tensor.tolist()), abs=1e-10)
    assert not found["x"].bins.flags.writeable
    assert not found["x"].bin_counts.flags.writeable


def test_the_compiled_loops_leave_alone_what_does_not_lie_plain() -> None:
    given_tensors = tensors()
    taken = native.sketch_compiled(given_tensors)
    for name, tensor in given_tensors.items():
        lies_plain = tensor.layout is torch.strided and tensor.is_contiguous() and not tensor.is_neg()
        lies_plain = lies_plain and not tensor._is_zerotensor()
        assert (name in taken) == (lies_plain and tensor.dtype is torch.float32 and tensor.numel() > 0)


def test_several_threads_of_a_run_may_count_at_once() -> None:
    tensors = {str(i): torch.randn(3 * CHUNK, generator=torch.Generator().manual_seed(i)) for i in range(4)}
    expected = native.sketch_compiled(tensors)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: native.sketch_compiled(tensors), range(12)))
    assert all(each == expected for each in found)


def test_a_wrong_call_is_an_error_not_a_crash() -> None:
    for wrong in (([], [1], 0, 1), (["no address"], [1], 0, 1), ([0], [-1], 0, 1), ((), (), 0, 1)):
        with pytest.raises((TypeError, ValueError, OverflowError, SystemError)):
            native._counting.sketch(*wrong)
    assert native._counting.sketch([], [], 0, 1) == ([], b"", b"")
