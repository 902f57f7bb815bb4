"""The bins: every float64 has one, narrow beside its size."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.histogram.bins import (
    FIRST_BIN_OF_FLOAT32,
    FIRST_BIN_OF_FLOAT64,
    LAST_BIN,
    bins_of,
    dense_rows,
    lower_edges,
    merge_lightest,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
TINY = sys.float_info.min


def bin_of(value: float) -> int:
    return int(bins_of(np.array([value]))[0])


@given(FLOATS)
def test_a_value_lies_in_its_bin(value: float) -> None:
    place = np.array([bin_of(value)])
    assert lower_edges(place)[0] <= value < lower_edges(place + 1)[0]


@given(FLOATS.filter(lambda value: abs(value) > 16 * 5e-324 and abs(value) < 1e308))
def test_a_bin_is_an_eighth_as_wide_as_its_values_are_large(value: float) -> None:
    place = np.array([bin_of(value)])
    width = lower_edges(place + 1)[0] - lower_edges(place)[0]
    assert width <= abs(value) / 8 + 5e-324


@given(FLOATS, FLOATS)
def test_bins_are_in_the_order_of_their_values(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert bin_of(low) <= bin_of(high)
    assert bin_of(-one) == -bin_of(one)


@given(FLOATS)
def test_only_zero_is_in_bin_zero(value: float) -> None:
    assert (bin_of(value) == 0) == (value == 0)


def test_the_ends() -> None:
    assert bin_of(sys.float_info.max) == LAST_BIN
    assert bin_of(5e-324) == 1
    assert lower_edges(np.array([0, 1, LAST_BIN + 1])).tolist() == [0.0, 5e-324, np.inf]
    assert (np.diff(lower_edges(np.arange(-LAST_BIN, LAST_BIN + 1)[::8])) > 0).all()


@pytest.mark.parametrize("value", [1.0, 1.9999, 3.0, 2.0**-126, 3e38, 1e-30])
def test_top_bits_of_a_float_give_its_bin(value: float) -> None:
    single, double = np.float32(value), np.float64(np.float32(value))
    assert (int(single.view(np.int32)) >> 20) + FIRST_BIN_OF_FLOAT32 == bin_of(double)
    assert (int(double.view(np.int64)) >> 49) + FIRST_BIN_OF_FLOAT64 == bin_of(double)


def test_denormals_keep_their_octaves() -> None:
    values = TINY * 2.0 ** -np.arange(1, 40)
    assert np.diff(bins_of(values)).tolist() == [-8] * 38


@given(st.lists(FLOATS, min_size=1, max_size=50))
def test_a_row_counts_as_numpy_does(values: list[float]) -> None:
    array = np.array(values)
    bins, bin_counts = np.unique(bins_of(array), return_counts=True)
    counts, edges, _ = dense_rows(bins, bin_counts, *(np.array([end]) for end in (len(bins), array.min(), array.max())))
    counts = counts[1:]
    assert (edges[1:] > edges[:-1]).all()
    places = np.clip(np.searchsorted(edges, array, side="right") - 1, 0, len(counts) - 1)
    assert np.array_equal(np.bincount(places, minlength=len(counts)), counts)
    assert not ((counts[1:] == 0) & (counts[:-1] == 0)).any()


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.integers(1, 40))
def test_merged_rows_lose_nothing(counts: list[int], most: int) -> None:
    array, edges = np.array(counts), np.arange(len(counts) + 1.0)
    merged, merged_edges = merge_lightest(array, edges, most)
    assert len(merged) == min(len(counts), most) == len(merged_edges) - 1
    assert set(merged_edges) <= set(edges)
    sums = [array[int(low) : int(high)].sum() for low, high in pairwise(merged_edges)]
    assert merged.tolist() == sums


def test_an_outlier_stays_apart() -> None:
    counts, _ = merge_lightest(np.array([100, 90, 80, 70, 60, 0, 1]), np.arange(8.0), 4)
    assert counts[-2:].tolist() == [0, 1]


def test_empty_bins_merge_last() -> None:
    # of the neighbors without an empty one the first lightest: 9 + 1, then 1 + 9
    counts, edges = merge_lightest(np.array([9, 1, 0, 1, 9]), np.arange(6.0), 3)
    assert (counts.tolist(), edges.tolist()) == ([10, 0, 10], [0.0, 2.0, 3.0, 5.0])
    counts, edges = merge_lightest(counts, edges, 2)
    assert (counts.tolist(), edges.tolist()) == ([10, 10], [0.0, 3.0, 5.0])


@given(st.lists(st.lists(FLOATS, min_size=1, max_size=30), min_size=1, max_size=5))
def test_rows_at_once_are_rows_one_by_one(lists: list[list[float]]) -> None:
    found = [np.unique(bins_of(np.array(values)), return_counts=True) for values in lists]
    lows, highs = (np.array([end(values) for values in lists]) for end in (min, max))
    ends = np.cumsum([len(bins) for bins, _ in found])
    bins, bin_counts = (np.concatenate(parts) for parts in zip(*found, strict=True))
    counts, edges, ends = dense_rows(bins, bin_counts, ends, lows, highs)
    for (bins, bin_counts), low, high, start, end in zip(found, lows, highs, [0, *ends[:-1]], ends, strict=True):
        alone = np.array([len(bins)]), np.array([low]), np.array([high])
        expected_counts, expected_edges, _ = dense_rows(bins, bin_counts, *alone)
        assert np.array_equal(counts[start:end], expected_counts)
        assert np.array_equal(edges[start:end], expected_edges)
