"""The compiled kernel against NumPy, and what it does with wrong arguments; these run under sanitizers too."""

import math
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.histogram import native
from puffer_callbacks.histogram.kernels import CHUNK, Float32Counter
from puffer_callbacks.values import Histogram
from tests.support.tensors import SMALL, assert_same, by_numpy, tensors

pytestmark = pytest.mark.skipif(not native.IS_COMPILED, reason="built without a compiler")
FLOATS = st.floats(width=32)


def count(tensors: dict[str, torch.Tensor]) -> dict[str, Histogram | None]:
    return {name: found and Histogram(*found) for name, found in native.count_compiled(tensors).items()}


def test_python_and_c_agree_on_constants() -> None:
    constants = native._counting.BINS, native._counting.FIRST_BIN, native._counting.CHUNK, native._counting.SMALL
    assert constants == (Float32Counter.bins, Float32Counter.first_bin, CHUNK, SMALL)


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_the_kernel_count_right_or_not_at_all(values: list[float]) -> None:
    tensor = torch.tensor(np.array(values, np.float32))
    found = count({"x": tensor})["x"]
    rare = [value for value in values if not math.isfinite(value) or 0 < abs(value) < np.finfo(np.float32).tiny]
    assert (found is None) == bool(rare)
    if found is not None:
        assert_same(found, by_numpy(tensor))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 4095, 4097, SMALL - 1, SMALL, SMALL + 3, CHUNK, 3 * CHUNK + 5])
def test_the_kernel_at_the_ends_of_their_blocks(size: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(size))
    found = count({"x": tensor, "last": tensor[-1:]})
    assert_same(found["x"], by_numpy(tensor))
    assert_same(found["last"], by_numpy(tensor[-1:]))
    assert found["x"].sum == pytest.approx(math.fsum(tensor.tolist()), abs=1e-10)
    assert not found["x"].bins.flags.writeable
    assert not found["x"].bin_counts.flags.writeable


def test_the_kernel_leave_alone_what_does_not_lie_plain() -> None:
    given_tensors = tensors()
    taken = count(given_tensors)
    for name, tensor in given_tensors.items():
        lies_plain = tensor.layout is torch.strided and tensor.is_contiguous() and not tensor.is_neg()
        lies_plain = lies_plain and not tensor._is_zerotensor()
        assert (name in taken) == (lies_plain and tensor.dtype is torch.float32 and tensor.numel() > 0)


def test_several_threads_of_a_run_may_count_at_once() -> None:
    tensors = {str(i): torch.randn(3 * CHUNK, generator=torch.Generator().manual_seed(i)) for i in range(4)}
    expected = count(tensors)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: count(tensors), range(12)))
    assert all(each == expected for each in found)


WRONG = {
    "no list": (np.zeros(3, np.float32), 1),
    "no buffer": ([[1.0]], 1),
    "float64": ([np.zeros(3)], 1),
    "big-endian": ([np.zeros(3, ">f4")], 1),
    "strided": ([np.zeros(6, np.float32)[::2]], 1),
    "not aligned": ([np.frombuffer(bytes(13), np.float32, offset=1)], 1),
    "empty": ([np.zeros(0, np.float32)], 1),
    "one wrong among right ones": ([np.ones(3, np.float32), np.ones(3)], 1),
}


@pytest.mark.parametrize("arguments", WRONG.values(), ids=WRONG)
def test_a_wrong_call_is_an_error_not_a_crash(arguments: tuple[Any, int]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        native._counting.count(*arguments)
    assert native._counting.count([], 1) == []


def test_buffers_are_released_whatever_happens() -> None:
    memory = bytearray(12)
    native._counting.count([memoryview(memory).cast("f")], 1)
    with pytest.raises(ValueError, match="float32"):
        native._counting.count([memoryview(memory).cast("f"), memoryview(memory)], 1)
    memory.extend(b"x")  # which an exported buffer would forbid


MISSING = """
import logging, torch
from puffer_callbacks.histogram import Histogram, native
{setup}
for _ in range(2):
    print(Histogram.of(torch.ones(3)).count, native.IS_COMPILED)
"""
NO_KERNEL = "their compiled kernel is missing, as PUFFER_CALLBACKS_NO_KERNEL is set"
NO_COMPILER = "their compiled kernel is missing, as the package was built without a C compiler"
NO_THREADS = "torch has no OpenMP threads here, so one thread counts"


@pytest.mark.parametrize(
    ("environment", "setup", "expected"),
    [
        ("1", "", NO_KERNEL),
        ("", "native.IS_COMPILED, native._counting = False, None", NO_COMPILER),
        ("", "native._counting.HAS_THREADS = 0; torch.set_num_threads(2)", NO_THREADS),
        ("", "", ""),
    ],
)
def test_one_line_of_the_log_names_what_is_missing(environment: str, setup: str, expected: str) -> None:
    command = [sys.executable, "-c", MISSING.format(setup=setup)]
    given_environment = {**os.environ, "PUFFER_CALLBACKS_NO_KERNEL": environment}
    run = subprocess.run(command, env=given_environment, capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in run.stdout.splitlines()] == ["3", "3"]
    assert run.stderr.count("Histograms") == bool(expected)
    assert expected in run.stderr
