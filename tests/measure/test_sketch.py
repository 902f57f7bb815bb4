"""The fast way against the plain one and NumPy, for every kind of tensor."""

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from puffer_callbacks.measure import tally
from puffer_callbacks.measure.assembly import narrow
from puffer_callbacks.measure.counting import CHUNK, SMALL
from puffer_callbacks.measure.host import sketch_on_host
from puffer_callbacks.measure.parts import local_part, pieces
from puffer_callbacks.measure.sketch import sketch
from puffer_callbacks.values import Histogram

FLOATS = st.floats(width=32)


def sparse() -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compressed layouts are in beta
        matrix = torch.diag(torch.tensor([1.0, -2.0, 0.0, 4.0]))
        repeated = torch.sparse_coo_tensor(torch.tensor([[0, 0, 1]]), torch.tensor([1.0, 2.0, -3.0]), (4,))
        return {
            "coo": matrix.to_sparse(),
            "coo, repeated": repeated,
            "coo of nothing": torch.zeros(3, 3).to_sparse(),
            "csr": matrix.to_sparse_csr(),
            "bsr": matrix.to_sparse_bsr((2, 2)),
            "mkldnn": matrix.to_mkldnn(),
        }


def tensors() -> dict[str, Tensor]:
    torch.manual_seed(0)
    normal = torch.randn(SMALL + 1)
    return {
        "small": torch.randn(7, 5),
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 4),
        "empty, wide": torch.zeros(0).double(),
        "large": torch.randn(3, CHUNK // 2),
        "parameter": torch.nn.Parameter(torch.randn(3)),
        "constant": torch.full((500,), -0.1),
        "zeros": torch.zeros(SMALL * 2),
        "negative zero": torch.tensor([-0.0]),
        "both zeros": torch.tensor([0.0, -0.0, 5.0, -5.0]),
        "mostly zeros": normal.relu(),
        "denormals": torch.randn(300) * 1e-40,
        "zeros and denormals": torch.tensor([0.0, 1e-45, -1e-45, 1.0]),
        "large denormals": normal * 1e-40,
        "denormals of float64": torch.randn(30).double() * 1e-320,
        "not finite": torch.tensor([1.0, math.nan, math.inf, -math.inf, -2.0]),
        "all not finite": torch.full((9,), math.nan),
        "one NaN in many": torch.cat([torch.randn(CHUNK), torch.tensor([math.nan])]),
        "NaN chunk": torch.cat([torch.full((CHUNK,), math.nan), torch.tensor([1.0])]),
        "float16": torch.randn(50).half(),
        "float16, large": normal.half(),
        "bfloat16": normal.bfloat16(),
        "bfloat16 denormals": torch.tensor([1e-40, 0.0]).bfloat16(),
        "float64": torch.randn(50).double() * 1e200,
        "int8": torch.arange(-128, 128).to(torch.int8),
        "uint8": torch.arange(256).to(torch.uint8),
        "int16": torch.arange(-32768, 32768).to(torch.int16),
        "int32": torch.tensor([-(2**31), 0, 2**31 - 1], dtype=torch.int32),
        "int64": torch.tensor([-(2**62), 3, 2**53 + 2]),
        "booleans": torch.tensor([True, False, True]),
        "complex": torch.randn(20, dtype=torch.complex64),
        "large complex": torch.full((3,), complex(3e38, 3e38), dtype=torch.complex64),
        "conjugate": torch.randn(20, dtype=torch.complex64).conj(),
        "negative view": torch.randn(20, dtype=torch.complex64).conj().imag,
        "transposed": torch.randn(600, 700).t(),
        "strided": torch.randn(1400, 900)[::2, ::3],
        "expanded": torch.randn(1).expand(CHUNK + 1, 2),
        "permuted": torch.randn(4, 50, 6).permute(2, 0, 1),
        **sparse(),
    }


def assert_same(found: Histogram, expected: Histogram) -> None:
    assert np.array_equal(found.bins, expected.bins)
    assert np.array_equal(found.bin_counts, expected.bin_counts)
    assert found.nonfinite == expected.nonfinite
    assert np.array_equal([found.min, found.max], [expected.min, expected.max], equal_nan=True)
    assert found.sum == pytest.approx(expected.sum, rel=1e-11, abs=1e-300)
    assert found.sum_squares == pytest.approx(expected.sum_squares, rel=1e-11, abs=1e-300)


def test_all_at_once_as_one_by_one() -> None:
    given_tensors = tensors()
    found = sketch(given_tensors)
    assert list(found) == list(given_tensors)
    for name, tensor in given_tensors.items():
        assert_same(found[name], Histogram.of(tensor))
        assert found[name].count + found[name].nonfinite == tensor.numel()


@pytest.mark.parametrize("name", tensors())
def test_one_by_one(name: str) -> None:
    tensor = tensors()[name]
    assert_same(sketch({name: tensor})[name], Histogram.of(tensor))


@given(st.lists(st.lists(FLOATS, max_size=40), max_size=4))
def test_any_floats(lists: list[list[float]]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given_tensors = {str(i): torch.tensor(values) for i, values in enumerate(lists)}
    for name, found in sketch(given_tensors).items():
        values = given_tensors[name].double().numpy()
        finite = values[np.isfinite(values)]
        assert (found.count, found.nonfinite) == (len(finite), len(values) - len(finite))
        if len(finite):
            assert (found.min, found.max) == (finite.min(), finite.max())
            assert found.sum == pytest.approx(finite.sum(), abs=1e-12 * np.abs(finite).sum())
            assert found.sum_squares == pytest.approx(np.square(finite).sum(), rel=1e-12)


def test_nothing_at_all() -> None:
    assert sketch({}) == {}


def test_many_tensors_take_several_transfers() -> None:
    found = sketch({str(i): torch.full((2,), float(i)) for i in range(1100)})
    assert [found[str(i)].max for i in range(1100)] == list(range(1100))


def test_the_number_of_threads_changes_no_digit() -> None:
    tensor = torch.randn(9 * CHUNK + 5)
    threads = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.append(sketch({"x": tensor, "y": tensor[:100_000]}))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert found[0] == found[1] == found[2]


def test_a_fault_in_a_chunk_comes_out_and_threads_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr(tally.Narrow, "add", fail)
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="no memory"):
        sketch({"x": torch.zeros(9 * CHUNK)})
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_under_any_mode(mode: type) -> None:
    with mode():
        tensor = torch.randn(9 * CHUNK)
        found = sketch({"large": tensor, "small": tensor[:9], "wide": tensor[:9].double()})
    assert found["large"].sum == pytest.approx(tensor.double().sum().item())
    assert np.array_equal(found["small"].bins, found["wide"].bins)


def test_under_deterministic_algorithms() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        found = sketch({"large": torch.ones(9 * CHUNK), "small": torch.ones(3), "wide": torch.ones(3).double()})
    finally:
        torch.use_deterministic_algorithms(False)
    assert [histogram.sum for histogram in found.values()] == [9 * CHUNK, 3, 3]


def test_leaves_tensors_and_graph_alone() -> None:
    weight = torch.randn(40_000, requires_grad=True)
    loss = (weight * 2).sum()
    before = weight.detach().clone()
    sketch({"weight": weight, "loss": loss})
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


def test_the_way_of_accelerators_is_that_of_the_host() -> None:
    given_tensors = {str(size): torch.randn(size) for size in (1, 9, 90, 900)}
    parts = {name: local_part(name, tensor) for name, tensor in given_tensors.items()}
    host, device = sketch_on_host(given_tensors), narrow(parts)
    for name in given_tensors:
        assert_same(host[name], device[name])


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


def test_together_on_the_host_as_each_alone() -> None:
    found = sketch_on_host(PLAIN)
    assert [name for name, histogram in found.items() if histogram is None] == ["ends"]
    for name, tensor in PLAIN.items():
        if histogram := found[name]:
            assert_same(histogram, Histogram.of(tensor))
            assert histogram == sketch_on_host({name: tensor})[name]
            assert not histogram.bins.flags.writeable
            assert not histogram.bin_counts.flags.writeable


@given(st.lists(FLOATS, min_size=1, max_size=60))
def test_the_host_counts_right_or_not_at_all(values: list[float]) -> None:
    tensor = torch.tensor(np.array(values, np.float32))
    found = sketch_on_host({"x": tensor})["x"]
    if found is None:
        magnitudes = tensor.abs()
        assert not ((magnitudes > 2.0**-43) & (magnitudes < 2.0**20) | (magnitudes == 0)).all()
    else:
        assert_same(found, Histogram.of(tensor))


@pytest.mark.parametrize("name", tensors())
def test_the_host_leaves_what_it_cannot_count(name: str) -> None:
    tensor = tensors()[name]
    if found := sketch_on_host({name: tensor}).get(name):
        assert_same(found, Histogram.of(tensor))
    else:
        assert_same(sketch({name: tensor})[name], Histogram.of(tensor))


def test_more_small_tensors_than_a_batch_holds() -> None:
    few_large = {str(i): torch.full((SMALL,), float(i)) for i in range(CHUNK // SMALL + 3)}
    found = sketch(few_large)
    assert [histogram.max for histogram in found.values()] == list(range(len(few_large)))
    assert all(histogram.count == SMALL for histogram in found.values())


def test_bad_tensors_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"head.weight: expected a tensor that holds numbers, got one on the meta device"
    ):
        sketch({"head.weight": torch.zeros(2, device="meta")})
    with pytest.raises(TypeError, match=r"head.weight: expected a tensor, got list"):
        sketch({"head.weight": [1.0]})  # type: ignore[dict-item]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(
        ValueError, match=r"head.weight: expected real numbers, got torch.qint8; call dequantize\(\) first"
    ):
        sketch({"head.weight": quantized})
