"""Tensors of every kind, their histograms by NumPy alone, and whether two histograms are the same."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import Tensor

from puffer_callbacks.histogram.bins import LAST_BIN, lower_edges
from puffer_callbacks.histogram.kernels import CHUNK
from puffer_callbacks.values import Histogram

SMALL = 1 << 14
"""The compiled kernel counts fewer numbers into one table, and more into four."""

EDGES = lower_edges(np.arange(-LAST_BIN, LAST_BIN + 2))


def by_numpy(tensor: Tensor) -> Histogram:
    """The histogram of a tensor by the definition: each value is searched among the edges of the bins."""
    dense = tensor.detach() if tensor.is_nested else tensor.detach().to_dense().resolve_neg()
    dense = torch.cat([part.reshape(-1) for part in dense.unbind()]) if dense.is_nested else dense.reshape(-1)
    values = (dense.to(torch.complex128).abs() if dense.is_complex() else dense).double().numpy()
    finite = values[np.isfinite(values)]
    bins, counts = np.unique(np.searchsorted(EDGES, finite, side="right") - 1 - LAST_BIN, return_counts=True)
    extremes = (float(finite.min()) + 0.0, float(finite.max()) + 0.0) if len(finite) else (math.nan, math.nan)
    with np.errstate(over="ignore"):
        sums = float(finite.sum()), float(np.square(finite).sum())
    return Histogram(bins.astype(np.int32), counts, len(values) - len(finite), *extremes, *sums)


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


def nested() -> dict[str, Tensor]:
    parts = [torch.arange(12.0).view(3, 4), torch.arange(-20.0, 0.0).view(5, 4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nested tensors are a prototype
        jagged = torch.nested.nested_tensor(parts, layout=torch.jagged)
        starts, lengths = torch.tensor([0, 2]), torch.tensor([2, 3])
        return {
            "strided": torch.nested.nested_tensor(parts),
            "strided, transposed": torch.nested.nested_tensor(parts).transpose(1, 2),
            "of nothing": torch.nested.nested_tensor([torch.zeros(0)]),
            "jagged": jagged,
            "jagged, transposed": jagged.transpose(1, 2),
            "with gaps": torch.nested.narrow(torch.randn(2, 6, 4), 1, starts, lengths, layout=torch.jagged),
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
        "zeros without memory": torch._efficientzerotensor(7)[1:],
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
