"""Histograms against NumPy and SciPy, and as TensorBoard reads them."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.data_compat import migrate_value
from tensorboard.util.tensor_util import make_ndarray
from torch import Tensor

from puffer_callbacks.values import Histogram
from puffer_callbacks.values.checkpointing import from_state, to_state
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms

SHARES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)


def drawn(distribution: Callable[[int], np.ndarray]) -> Tensor:
    return torch.from_numpy(distribution(20_000))


DATA = {
    "normal": drawn(lambda n: stats.norm.rvs(size=n, random_state=0)).float(),
    "uniform": drawn(lambda n: stats.uniform.rvs(-1, 2, size=n, random_state=0)).float(),
    "log-normal": drawn(lambda n: stats.lognorm.rvs(3, size=n, random_state=0)),
    "mixture": torch.cat([torch.randn(9000) * 1e-3 - 5, torch.randn(1001) + 100]),
    "heavy-tailed": drawn(lambda n: stats.cauchy.rvs(size=n, random_state=0)),
    "constant": torch.full((1000,), -3.3),
    "denormal": torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 1e-40,
    "denormal in float64": drawn(lambda n: stats.norm.rvs(size=n, random_state=0)) * 1e-310,
    "one outlier": torch.cat([torch.rand(999) + 1, torch.tensor([1e9])]),
    "two values": torch.tensor([0.0, 1.0]).repeat(500),
    "mostly zeros": torch.randn(5000).relu(),
    "one value": torch.tensor([0.1]),
    "integers": torch.randint(-5, 300, (4000,)),
    "huge": torch.tensor([1e308, -1e308, 3.0], dtype=torch.float64),
}
each = pytest.mark.parametrize("data", DATA.values(), ids=DATA)


@each
def test_quantiles_are_within_a_bin_of_numpys(data: Tensor) -> None:
    values = data.double().numpy()
    found = Histogram.of(data).quantile(SHARES)
    for share, quantile in zip(SHARES, found, strict=True):
        below, above = (np.quantile(values, share, method=method) for method in ("lower", "higher"))
        part = (len(values) - 1) * share % 1
        expected = below * (1 - part) + above * part  # NumPy's linear quantile, without its overflow
        assert abs(quantile - expected) <= (abs(below) * (1 - part) + abs(above) * part) / 8 + 5e-324


@each
def test_counts_between_edges_are_numpys(data: Tensor) -> None:
    histogram, values = Histogram.of(data), data.double().numpy()
    edges = histogram.edges
    assert (edges[1:] > edges[:-1]).all()
    assert edges[0] == values.min() == histogram.min
    assert edges[-1] == pytest.approx(values.max(), rel=1e-15)
    assert histogram.max == values.max()
    places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    assert np.array_equal(np.bincount(places, minlength=len(edges) - 1), histogram.counts)
    assert histogram.counts.dtype == np.int64
    assert edges.dtype == np.float64


@each
def test_totals_are_numpys(data: Tensor) -> None:
    histogram, values = Histogram.of(data), data.double().numpy()
    assert histogram.count == len(values)
    with np.errstate(over="ignore"):
        assert histogram.sum == pytest.approx(values.sum(), rel=1e-12)
        assert histogram.sum_squares == pytest.approx(np.square(values).sum(), rel=1e-12)


@each
def test_tensorboard_reads_the_same(data: Tensor) -> None:
    if data is DATA["huge"]:
        pytest.skip("TensorBoard keeps edges in float32")
    histogram = Histogram.of(data)
    (value,) = Summary.FromString(encode_histograms({"tag": histogram})).value
    left, right, counts = make_ndarray(migrate_value(value).tensor).T
    assert counts.sum() == histogram.count
    assert left[0] == np.float32(histogram.min)
    assert right[-1] == np.float32(histogram.max)
    assert np.array_equal(left[1:], right[:-1])
    assert value.histo.num == histogram.count


@each
@pytest.mark.parametrize("most", [1, 7, 512])
def test_coarsened_keeps_counts_and_ends(data: Tensor, most: int) -> None:
    histogram = Histogram.of(data)
    counts, edges = histogram.coarsened(most)
    assert len(counts) == len(edges) - 1 <= most
    assert counts.sum() == histogram.count
    assert (edges[0], edges[-1]) == (histogram.edges[0], histogram.edges[-1])


@each
def test_survives_a_checkpoint(data: Tensor, tmp_path: Path) -> None:
    torch.save(to_state(Histogram.of(data)), tmp_path / "state.pt")
    assert from_state(torch.load(tmp_path / "state.pt", weights_only=True)) == Histogram.of(data)


@given(st.lists(FLOATS, max_size=30), st.lists(FLOATS, max_size=30))
def test_parts_add_up_to_the_whole(one: list[float], other: list[float]) -> None:
    tensors = [torch.tensor(values, dtype=torch.float64) for values in (one, other)]
    whole, added = Histogram.of(torch.cat(tensors)), Histogram.of(tensors[0]) + Histogram.of(tensors[1])
    assert np.array_equal(whole.bins, added.bins)
    assert np.array_equal(whole.bin_counts, added.bin_counts)
    assert np.array_equal([whole.min, whole.max], [added.min, added.max], equal_nan=True)
    scale = sum(map(abs, one + other))
    assert added.sum == pytest.approx(whole.sum, abs=1e-12 * scale)
    assert added.sum_squares == pytest.approx(whole.sum_squares, rel=1e-12)


def test_what_is_not_finite_is_counted_apart() -> None:
    histogram = Histogram.of(torch.tensor([1.0, math.nan, math.inf, -math.inf, 2.0]))
    assert (histogram.count, histogram.nonfinite, histogram.min, histogram.max) == (2, 3, 1.0, 2.0)
    assert histogram.sum == 3.0


@pytest.mark.parametrize("tensor", [torch.zeros(0), torch.zeros(3, 0), torch.full((4,), math.nan)])
def test_nothing_finite_is_one_empty_bin(tensor: Tensor) -> None:
    histogram = Histogram.of(tensor)
    assert histogram.count == 0
    assert histogram.nonfinite == tensor.numel()
    assert histogram.counts.tolist() == [0]
    assert histogram.edges.tolist() == [0.0, 1.0]
    assert all(map(math.isnan, [histogram.min, histogram.max, histogram.quantile(0.5)]))
    assert histogram + Histogram.of(torch.ones(2)) == Histogram.of(
        torch.tensor([1.0, 1.0] + [math.nan] * tensor.numel())
    )


def test_a_quantile_has_the_shape_of_its_shares() -> None:
    histogram = Histogram.of(torch.arange(101))
    assert isinstance(histogram.quantile(0.5), float)
    assert histogram.quantile([0.0, 1.0]).tolist() == [0.0, 100.0]
    assert histogram.quantile(np.full((2, 3), 0.5)).shape == (2, 3)


def test_is_frozen_and_compares_by_value() -> None:
    histogram = Histogram.of(torch.randn(10))
    with pytest.raises(AttributeError):
        histogram.min = 0.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        histogram.bin_counts[0] = 5
    assert histogram != Histogram.of(torch.ones(10))
    assert histogram != 1
    with pytest.raises(TypeError):
        histogram + 1  # type: ignore[operator]


def test_bad_input_says_what_was_expected() -> None:
    with pytest.raises(ValueError, match=r"expected shares from 0 to 1, got 1.5"):
        Histogram.of(torch.ones(2)).quantile(1.5)
    with pytest.raises(ValueError, match="expected max_bins of at least 1, got 0"):
        Histogram.of(torch.ones(2)).coarsened(0)
    with pytest.raises(ValueError, match="meta"):
        Histogram.of(torch.zeros(2, device="meta"))
    with pytest.raises(ValueError, match="of one length"):
        Histogram(np.zeros(2, np.int32), np.zeros(1, np.int64), 0, 0.0, 0.0, 0.0, 0.0)
