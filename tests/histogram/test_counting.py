"""Histograms of every kind of tensor, with the compiled kernel and without, against NumPy."""

import math
import shutil
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.histogram import native
from puffer_callbacks.histogram.kernels import CHUNK, Float32Counter
from puffer_callbacks.histogram.local_tensor import pieces
from puffer_callbacks.values import Histogram
from tests.support.tensors import SMALL, assert_same, by_numpy, nested, tensors

FLOATS = st.floats(width=32)


@pytest.fixture(scope="module", autouse=True, params=["compiled", "not compiled"])
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "compiled" and not native.IS_COMPILED:
        assert shutil.which("cc") is None, "there is a compiler, but the package was built without"
        pytest.skip("no compiler")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native, "IS_COMPILED", request.param == "compiled")
        yield request.param


def test_all_at_once_as_one_by_one() -> None:
    given_tensors = tensors()
    found = Histogram.of_all(given_tensors)
    assert list(found) == list(given_tensors)
    for name, tensor in given_tensors.items():
        assert_same(found[name], by_numpy(tensor))
        assert found[name].count + found[name].nonfinite == tensor.numel()


@pytest.mark.parametrize("name", tensors())
def test_one_by_one(name: str) -> None:
    tensor = tensors()[name]
    assert_same(Histogram.of(tensor), by_numpy(tensor))
    assert Histogram.of_all({name: tensor})[name] == Histogram.of(tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_has_no_sign(dtype: torch.dtype) -> None:
    found = Histogram.of(torch.tensor([-0.0, -0.0], dtype=dtype))
    assert [math.copysign(1.0, each) for each in (found.min, found.max, found.sum)] == [1.0, 1.0, 1.0]
    assert (found.bins.dtype, found.bin_counts.dtype) == (np.int32, np.int64)


@pytest.mark.parametrize(("stored", "extremes"), [([1.0, 2.0], (0.0, 2.0)), ([-1.0, -2.0], (-2.0, 0.0))])
def test_a_single_zero_that_a_sparse_tensor_does_not_store_counts(
    stored: list[float], extremes: tuple[float, float]
) -> None:
    found = Histogram.of(torch.sparse_coo_tensor([[0, 2]], stored, (3,), check_invariants=True))
    assert (found.count, found.min, found.max) == (3, *extremes)
    assert dict(zip(found.bins.tolist(), found.bin_counts.tolist(), strict=True))[0] == 1


def test_denormals_of_float64_are_none_of_the_zeros_beside_them() -> None:
    found = Histogram.of(torch.tensor([0.0, 5e-324, -5e-324, 0.0, 1.0], dtype=torch.float64))
    assert (found.bins.tolist(), found.bin_counts.tolist()) == ([-1, 0, 1, 8593], [1, 2, 1, 1])


def test_nested_tensors_count_their_parts_alone() -> None:
    given_tensors = nested()
    for name, found in Histogram.of_all(given_tensors).items():
        assert_same(found, by_numpy(given_tensors[name]))
        assert found.count == given_tensors[name].numel()


@given(st.lists(st.lists(FLOATS, max_size=40), max_size=4))
def test_any_floats(lists: list[list[float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given_tensors = {str(i): torch.tensor(values) for i, values in enumerate(lists)}
    for name, found in Histogram.of_all(given_tensors).items():
        values = given_tensors[name].double().numpy()
        finite = values[np.isfinite(values)]
        assert (found.count, found.nonfinite) == (len(finite), len(values) - len(finite))
        if len(finite):
            assert (found.min, found.max) == (finite.min(), finite.max())
            assert found.sum == pytest.approx(finite.sum(), abs=1e-12 * np.abs(finite).sum())
            assert found.sum_squares == pytest.approx(np.square(finite).sum(), rel=1e-12)


def test_nothing_at_all() -> None:
    assert Histogram.of_all({}) == {}


def test_many_tensors_take_several_transfers() -> None:
    found = Histogram.of_all({str(i): torch.full((2,), float(i)) for i in range(1100)})
    assert [found[str(i)].max for i in range(1100)] == list(range(1100))


def test_the_number_of_threads_changes_no_digit() -> None:
    tensor = torch.randn(9 * CHUNK + 5)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(Histogram.of_all({"x": tensor, "y": tensor[:100_000]}))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


def test_a_fault_in_a_chunk_comes_out_and_threads_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(Float32Counter, "add", fail)
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="no memory"):
        Histogram.of_all({"x": torch.zeros(9 * CHUNK).bfloat16()})
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_under_any_mode(mode: type) -> None:
    with mode():
        tensor = torch.randn(9 * CHUNK)
        found = Histogram.of_all({"large": tensor, "small": tensor[:9], "wide": tensor[:9].double()})
    assert found["large"].sum == pytest.approx(tensor.double().sum().item())
    assert np.array_equal(found["small"].bins, found["wide"].bins)


def test_under_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        found = Histogram.of_all(
            {"large": torch.ones(9 * CHUNK), "small": torch.ones(3), "wide": torch.ones(3).double()}
        )
    finally:
        torch.use_deterministic_algorithms(False)
    assert [histogram.sum for histogram in found.values()] == [9 * CHUNK, 3, 3]


def test_leaves_tensors_and_graph_alone() -> None:
    weight = torch.randn(40_000, requires_grad=True)
    loss = (weight * 2).sum()
    before = weight.detach().clone()
    Histogram.of_all({"weight": weight, "loss": loss})
    loss.backward()
    assert torch.equal(weight, before)
    assert weight.grad is not None


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_pieces_are_bounded_and_complete(size: int) -> None:
    base = torch.arange(4 * 5 * 6 * 7).view(4, 5, 6, 7)
    for tensor in (
        base,
        base.permute(3, 1, 0, 2),
        base[::2, :, 1::3],
        base[:, :1].expand(4, 9, 6, 7),
        base[0, 0, 0, 0],
    ):
        found = list(pieces(tensor, size))
        assert max(map(len, found)) <= size
        assert all(piece.is_contiguous() for piece in found)
        assert torch.equal(torch.cat(found).sort().values, tensor.reshape(-1).sort().values)


def test_a_large_transposed_tensor_is_not_copied() -> None:
    matrix = torch.randn(300, 500)
    assert all(
        piece.untyped_storage().data_ptr() == matrix.untyped_storage().data_ptr() for piece in pieces(matrix.t(), 999)
    )


PLAIN = {
    "normal": torch.randn(1000),
    "one": torch.tensor([3.0]),
    "ends": torch.tensor([-(2.0**20), 2.0**20, 2.0**-44, -(2.0**-44)]),
    "just inside": torch.tensor([-(2.0**20) + 1, 2.0**20 - 1, 2.0**-43, -(2.0**-43)]),
    "both zeros": torch.tensor([0.0, -0.0, 1.0, -1.0]),
    "constant": torch.full((70,), -0.3),
    "parameter": torch.nn.Parameter(torch.randn(4, 5)),
    "strided": torch.randn(9, 8)[::2, ::3].t(),
    "integers": torch.arange(-100, 100, dtype=torch.int16),
    "bfloat16": torch.randn(70).bfloat16(),
    "largest": torch.randn(SMALL),
}


def test_all_of_them_together_as_each_alone() -> None:
    found = Histogram.of_all(PLAIN)
    for name, tensor in PLAIN.items():
        histogram = found[name]
        assert_same(histogram, by_numpy(tensor))
        assert histogram == Histogram.of(tensor)
        assert not histogram.bins.flags.writeable
        assert not histogram.bin_counts.flags.writeable


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_one_tensor_of_any_floats(values: list[float]) -> None:
    tensor = torch.tensor(np.array(values, np.float32))
    assert_same(Histogram.of(tensor), by_numpy(tensor))


@given(st.lists(st.floats(), min_size=1, max_size=60))
def test_any_float64(values: list[float]) -> None:
    tensor = torch.tensor(values, dtype=torch.float64)
    found, expected = Histogram.of(tensor), by_numpy(tensor)
    assert np.array_equal(found.bins, expected.bins)
    assert np.array_equal(found.bin_counts, expected.bin_counts)
    assert found.nonfinite == expected.nonfinite
    assert np.array_equal([found.min, found.max], [expected.min, expected.max], equal_nan=True)


def test_more_small_tensors_than_a_batch_holds() -> None:
    few_large = {str(i): torch.full((SMALL,), float(i)) for i in range(CHUNK // SMALL + 3)}
    found = Histogram.of_all(few_large)
    assert [histogram.max for histogram in found.values()] == list(range(len(few_large)))
    assert all(histogram.count == SMALL for histogram in found.values())


def test_bad_tensors_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"head.weight: expected a tensor that holds numbers, got one on the meta device"
    ):
        Histogram.of_all({"head.weight": torch.zeros(2, device="meta")})
    with pytest.raises(TypeError, match=r"head.weight: expected a tensor or an array of numbers, got str"):
        Histogram.of_all({"head.weight": "1.0"})
    with pytest.raises(TypeError, match=r"head.weight: expected a tensor or an array of numbers, got an array of <U1"):
        Histogram.of_all({"head.weight": np.array(["a"])})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(
        ValueError, match=r"head.weight: expected real numbers, got torch.qint8; call dequantize\(\) first"
    ):
        Histogram.of_all({"head.weight": quantized})


def test_a_tensor_whose_memory_is_freed_is_named() -> None:
    whole = torch.randn(30)
    part = whole[5:]
    whole.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match=r"layer\.weight: expected a tensor that holds numbers, got one whose memory"):
        Histogram.of_all({"layer.weight": part})


READ_ONLY = np.arange(6.0)
READ_ONLY.flags.writeable = False
ARRAYS = {
    "list": [1.0, -2.5, 0.0],
    "nested list": [[1, 2], [3, 4]],
    "number": 3.0,
    "range": range(7),
    "float64": np.linspace(-1.0, 2.0, 301),
    "float32": np.linspace(-1.0, 2.0, 301, dtype=np.float32),
    "float16": np.array([0.1, -6e-8], np.float16),
    "long double": np.array([0.5, 1e300], np.longdouble),
    "uint16": np.array([0, 65535], np.uint16),
    "uint32": np.array([1, 2**32 - 1], np.uint32),
    "uint64": np.array([1, 2**63], np.uint64),
    "booleans": np.array([True, False]),
    "complex": np.array([3 + 4j]),
    "big-endian": np.array([1.0, 2.0], ">f4"),
    "reversed": np.arange(6, dtype=np.float32)[::-1],
    "strided": np.arange(60.0, dtype=np.float32).reshape(6, 10)[::2, ::3],
    "read-only": READ_ONLY,
    "not aligned": np.frombuffer(b"x" + np.arange(6, dtype=np.float32).tobytes(), np.float32, offset=1),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_and_lists(name: str) -> None:
    array = np.asarray(ARRAYS[name])
    values = np.abs(array) if array.dtype.kind == "c" else array.astype(np.float64)
    assert_same(Histogram.of(ARRAYS[name]), by_numpy(torch.tensor(values)))


def test_a_tensor_that_is_not_aligned() -> None:
    memory = bytearray(b"x" + np.arange(6, dtype=np.float32).tobytes())
    tensor = torch.frombuffer(memory, dtype=torch.float32, offset=1)
    assert_same(Histogram.of(tensor), by_numpy(torch.arange(6.0)))
