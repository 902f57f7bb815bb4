import numpy as np
import pytest

from puffer_callbacks.report.envelope import envelope


@pytest.mark.parametrize("max_points", [1, 7, 100, 999])
def test_no_peak_is_lost(max_points):
    values = np.random.default_rng(0).normal(size=1000)
    values[[123, 877]] = 50.0, -50.0
    short = envelope(np.arange(1000), values, max_points=max_points)
    assert len(short.steps) == max_points
    assert (short.low.min(), short.high.max()) == (-50.0, 50.0)
    assert np.all(short.low <= short.mean)
    assert np.all(short.mean <= short.high)


def test_each_bucket_is_numpys_mean_minimum_and_maximum():
    values = np.random.default_rng(1).normal(size=1000)
    short = envelope(np.arange(1000), values, max_points=10)
    parts = values.reshape(10, 100)
    np.testing.assert_allclose(short.mean, parts.mean(axis=1))
    np.testing.assert_array_equal(short.low, parts.min(axis=1))
    np.testing.assert_array_equal(short.high, parts.max(axis=1))


def test_a_short_series_is_shown_point_by_point():
    short = envelope(np.array([5, 7, 20]), np.array([1.0, 2.0, 0.0]), max_points=600)
    assert short.is_exact
    assert short.steps.tolist() == [5, 7, 20]
    assert short.mean.tolist() == [1.0, 2.0, 0.0]


def test_values_that_are_not_finite_leave_a_gap():
    values = np.array([1.0, np.nan, np.inf, 4.0])
    short = envelope(np.arange(4), values, max_points=4)
    np.testing.assert_array_equal(short.mean, [1.0, np.nan, np.nan, 4.0])
    merged = envelope(np.arange(4), values, max_points=2)
    np.testing.assert_array_equal(merged.mean, [1.0, 4.0])


def test_the_mean_of_huge_values_is_one():
    short = envelope(np.arange(4), np.array([1.5e308, 1.5e308, -1e308, -1.2e308]), max_points=2)
    np.testing.assert_allclose(short.mean, [1.5e308, -1.1e308])


def test_points_that_were_logged_out_of_order_are_drawn_in_order():
    short = envelope(np.array([3, 1, 2]), np.array([30.0, 10.0, 20.0]), max_points=3)
    assert short.steps.tolist() == [1, 2, 3]
    assert short.mean.tolist() == [10.0, 20.0, 30.0]
