"""The numbers are those of rliable, the library of the paper's authors, and of SciPy.

``rliable.json`` was written by rliable 1.2.0 with arch 7.2.0: ``np.random.seed(11)`` before each call of
``get_interval_estimates`` or ``create_performance_profile``, ``reps=500``. rliable itself needs a pandas older than 3.
"""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from puffer_callbacks.plots.statistics import (
    as_scores,
    bootstrap_interval,
    improvement_probability,
    interquartile_mean,
    mean,
    performance_profile,
)

RLIABLE = json.loads((Path(__file__).parent / "rliable.json").read_text())
interval = partial(bootstrap_interval, repetitions=500, seed=11)


def same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-14)


def test_interquartile_mean_and_its_interval_are_those_of_rliable():
    point, bounds = RLIABLE["iqm"]
    same(interquartile_mean(RLIABLE["ours"]), point)
    same(interval(interquartile_mean, RLIABLE["ours"]), bounds)


def test_the_band_of_a_curve_is_that_of_rliable():
    points, bounds = RLIABLE["curve_iqm"]
    same(interquartile_mean(RLIABLE["curves"]), points)
    same(interval(interquartile_mean, RLIABLE["curves"]), bounds)


def test_probability_of_improvement_is_that_of_rliable():
    point, bounds = RLIABLE["improvement"]
    same(improvement_probability(RLIABLE["ours"], RLIABLE["theirs"]), point)
    same(interval(improvement_probability, RLIABLE["ours"], RLIABLE["theirs"]), bounds)


def test_performance_profile_is_that_of_rliable():
    points, bounds = RLIABLE["profile"]
    profile = partial(performance_profile, thresholds=RLIABLE["thresholds"])
    same(profile(RLIABLE["theirs"]), points)
    np.testing.assert_allclose(interval(profile, RLIABLE["theirs"]), bounds, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("runs", range(1, 13))
def test_interquartile_mean_is_scipys_trimmed_mean(runs):
    scores = np.random.default_rng(runs).normal(size=(runs, 3))
    same(interquartile_mean(scores), stats.trim_mean(scores, 0.25, axis=None))


def test_probability_of_improvement_is_mann_whitneys_with_ties_counted_half():
    ours, theirs = np.array([[1.0], [2.0], [2.0], [5.0]]), np.array([[2.0], [2.0], [0.0]])
    statistic = stats.mannwhitneyu(ours[:, 0], theirs[:, 0]).statistic
    same(improvement_probability(ours, theirs), statistic / 12)
    assert improvement_probability(ours, ours) == 0.5


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    bounds = [bootstrap_interval(mean, rng.normal(size=40), repetitions=200) for _ in range(300)]
    covered = np.mean([low <= 0 <= high for low, high in bounds])
    assert 0.90 < covered < 0.98


def test_one_run_has_an_interval_of_no_width():
    assert bootstrap_interval(interquartile_mean, [3.0]).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], r"scores: expected the shape \[runs, tasks\], got \(0,\)"),
        (3.0, r"scores: expected the shape \[runs, tasks\], got \(\)"),
        ([1.0, np.nan, np.inf], "scores: expected finite numbers, got 2 that are not"),
    ],
)
def test_bad_scores_are_one_clear_line(scores, message):
    with pytest.raises(ValueError, match=message):
        as_scores(scores)


def test_algorithms_are_compared_on_the_same_tasks():
    with pytest.raises(ValueError, match="expected the same tasks"):
        improvement_probability(np.zeros((3, 2)), np.zeros((3, 1)))


@pytest.mark.parametrize("options", [{"confidence": 1.0}, {"confidence": 0.0}, {"repetitions": 0}])
def test_bad_options_are_one_clear_line(options):
    with pytest.raises(ValueError, match="expected confidence between 0 and 1 and repetitions of at least 1"):
        bootstrap_interval(mean, [1.0, 2.0], **options)


def test_a_score_at_a_threshold_is_not_above_it():
    assert performance_profile([1, 2, 2, 3], [1, 2, 3]).tolist() == [0.75, 0.25, 0.0]
