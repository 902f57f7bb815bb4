"""The numbers that the page's scripts draw."""

import base64
import math

import numpy as np
import pytest

from puffer_callbacks import Histogram
from puffer_callbacks.plots.densities import density, quartiles
from puffer_callbacks.report.chart_data import curve_sections, histogram_section, seeds_section
from puffer_callbacks.report.sections import sections
from puffer_callbacks.values.vocabulary import describe
from tests.support.runs import finding, number, run_of


def decoded(text, dtype=np.float32):
    return np.frombuffer(base64.b64decode(text), dtype)


def charts(*runs, findings=()):
    return [chart for section in curve_sections(sections(runs), findings) for chart in section["charts"]]


@pytest.mark.parametrize(("points", "buckets"), [(600, 600), (601, 600), (3000, 600)])
def test_a_long_curve_has_a_band_and_a_short_one_its_points(points, buckets):
    values = np.random.default_rng(0).normal(size=points)
    (chart,) = charts(run_of({"mine": list(enumerate(values.tolist()))}))
    (curve,) = chart["curves"]
    assert len(decoded(curve["x"], np.float64)) == len(decoded(curve["mean"])) == buckets
    assert ("low" in curve) == ("high" in curve) == (points > buckets)
    if points == buckets:
        np.testing.assert_allclose(decoded(curve["mean"]), values, rtol=1e-6)
    else:
        assert decoded(curve["low"]).min() == np.float32(values.min())
        assert decoded(curve["high"]).max() == np.float32(values.max())


def test_many_curves_share_the_points_of_a_page():
    run = run_of({f"mine/{at}": [(step, step * 1.0 + at + 1) for step in range(500)] for at in range(300)})
    assert {len(decoded(chart["curves"][0]["mean"])) for chart in charts(run)} == {60_000 // 300}


def test_the_line_below_a_title_names_copies_and_what_is_not_finite():
    points = [(0, 1.0), (8, math.nan), (16, 3.0)]
    entropy, mine = charts(
        run_of({"train/entropy": points, "losses/entropy": [(s, -v) for s, v in points], "mine": points[:1]}),
        run_of({"train/entropy": [(0, math.inf)]}, name="other"),
    )
    known = describe("train/entropy")
    about = f"{known.meaning} Good: {known.good}. Also logged as losses/entropy. NaN or infinite: 2 of 4 values."
    assert entropy["about"] == about
    assert mine["about"] == ""


def test_a_finding_is_marked_where_its_evidence_is():
    first = finding(evidence=(number("mine", 1.0, 8), number("other", 1.0, 8)), first_step=8, last_step=16)
    second = finding(evidence=(number("other", 1.0, 0),), first_step=0, last_step=4)
    run = run_of({"mine": [(0, 1.0), (8, 3.0)], "other": [(0, 1.0), (8, 2.0)], "third": [(0, 1.0), (8, 5.0)]})
    marks = {
        chart["tag"]: [mark["from"] for mark in chart["marks"]] for chart in charts(run, findings=[[first, second]])
    }
    assert marks == {"mine": [8], "other": [0, 8], "third": []}


def test_a_curve_without_a_finite_value_is_a_chart_too():
    (chart,) = charts(run_of({"mine": [(0, math.nan), (8, math.inf)]}))
    assert (chart["spread"], chart["about"]) == (False, "NaN or infinite: 2 of 2 values.")
    assert np.isnan(decoded(chart["curves"][0]["mean"])).all()


def test_a_few_values_are_as_dark_as_the_root_of_their_share():
    points = [(0, Histogram.of([0, 0, 0, 1])), (8, Histogram.of([1.0]))]
    (section,) = histogram_section([run_of({}, histograms={"mine": points})], ["run"])
    (chart,) = section["charts"]
    assert (chart["tag"], chart["values"], chart["low"], chart["high"], chart["peak"]) == ("mine", [0, 1], -0.5, 1.5, 1)
    assert decoded(chart["steps"], np.float64).tolist() == [0, 8]
    assert decoded(chart["shares"], np.uint8).tolist() == [221, 128, 0, 255]  # 255 √¾ and 255 √¼, rounded up
    assert "quantiles" not in chart


def test_many_values_are_as_dark_as_their_share_of_the_highest():
    rng = np.random.default_rng(0)
    points = [(step, Histogram.of(rng.normal(size=1000))) for step in (0, 8, 16)]
    (chart,) = histogram_section([run_of({}, histograms={"mine": points})], ["run"])[0]["charts"]
    shares = density(points, num_bins=chart["bins"]).shares
    assert chart["peak"] == shares.max()
    np.testing.assert_array_equal(
        decoded(chart["shares"], np.uint8), np.ceil(255 * np.sqrt(shares / shares.max())).ravel()
    )
    np.testing.assert_allclose([decoded(each) for each in chart["quantiles"]], quartiles(points), rtol=1e-6)
    assert "values" not in chart


def test_histograms_of_rollouts_come_first_and_those_of_several_runs_are_named():
    points = {
        "a": [(0, Histogram.of([0.0]))],
        "rollout/actions": [(0, Histogram.of([0.0]))],
        "empty": [(0, Histogram.of([]))],
    }
    runs = [run_of({}, name=name, histograms=points) for name in ("x", "y")]
    named = [f"{tag} · {run}" for tag in ("rollout/actions", "a") for run in ("x", "y")]
    assert [chart["tag"] for chart in histogram_section(runs, ["x", "y"])[0]["charts"]] == named
    assert [chart["tag"] for chart in histogram_section(runs[:1], ["x"])[0]["charts"]] == ["rollout/actions", "a"]
    assert histogram_section([run_of({}, histograms={"empty": points["empty"]})], ["x"]) == []


@pytest.mark.parametrize(("count", "note"), [(60, "a row each."), (61, "The first 60 of 61.")])
def test_more_histograms_than_a_page_holds_are_counted(count, note):
    points = {f"weights/{at}": [(0, Histogram.of([0.0]))] for at in range(count)}
    (section,) = histogram_section([run_of({}, histograms=points)], ["run"])
    assert len(section["charts"]) == 60 and section["note"].endswith(note)


def test_runs_without_a_seed_beside_them_have_no_section():
    points = [(0, 1.0), (8, 2.0)]
    runs = [run_of({"train/reward": points}, name=str(lr), hyperparameters={"lr": lr, "seed": 1}) for lr in (0.1, 0.2)]
    assert seeds_section(runs) == []
