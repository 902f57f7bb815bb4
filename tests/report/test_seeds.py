"""Runs that differ in the seed alone are one curve with its interval."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from puffer_callbacks.plots import bootstrap_interval, interquartile_mean
from puffer_callbacks.report import report, save_figures
from puffer_callbacks.report.seeds import seed_curves, seed_groups
from puffer_callbacks.report.tables import split_settings
from tests.report.test_page import CHROMIUM, browse, charts_of, data_of, decoded, written
from tests.support.runs import run_of


def run(seed, lr, *, first=0, tag="train/reward"):
    points = [(first + 10 * step, lr * 100 + seed + step * seed) for step in range(20)]
    settings = {"seed": float(seed), "lr": lr, "steps": 200.0, "trainer/log_dir": f"runs/{seed}"}
    return run_of({tag: points}, name=f"lr{lr}_{seed}", hyperparameters=settings)


RUNS = [run(seed, lr) for lr in (0.1, 0.2) for seed in (1, 2, 3, 5, 9)]


def test_runs_are_grouped_by_what_differs_beside_the_seed():
    assert {name: len(members) for name, members in seed_groups(RUNS).items()} == {"lr = 0.1": 5, "lr = 0.2": 5}
    assert list(seed_groups(RUNS[:5])) == ["same settings"]
    assert seed_groups([run(1, 0.1), run(2, 0.2)]) == {}  # a sweep with one seed has no spread over seeds
    assert list(seed_groups([*RUNS[:5], run(1, 0.3)])) == ["lr = 0.1"]
    assert seed_groups(RUNS[:1]) == {}


def test_runs_whose_settings_are_not_logged_are_in_no_group():
    unknown = [run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=name) for name in "ab"]
    assert seed_groups(unknown) == {}
    assert list(seed_groups([*RUNS, *unknown])) == ["lr = 0.1", "lr = 0.2"]


def test_a_group_that_many_settings_distinguish_is_named_by_its_runs():
    settings = [{"a": at, "b": at + 1, "c": at + 2, "d": at + 3, "seed": seed} for at in (1.0, 2.0) for seed in (1, 2)]
    runs = [
        run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=f"logs/{at}", hyperparameters=each)
        for at, each in enumerate(settings)
    ]
    assert list(seed_groups(runs)) == ["0, 1", "2, 3"]


def test_a_learning_rate_that_the_optimizer_alone_has_distinguishes_runs_too():
    rates = [{"optimizer/lr": lr} | more for more in ({}, {"learning_rate": 0.0}) for lr in (0.1, 0.1, 0.2, 0.2)]
    runs = [run_of({"train/reward": [(0, 1.0)]}, name=str(at), hyperparameters=each) for at, each in enumerate(rates)]
    assert list(seed_groups(runs[:4])) == ["optimizer/lr = 0.1", "optimizer/lr = 0.2"]
    for run, rate in zip(runs[4:], (0.1, 0.1, 0.2, 0.2), strict=True):
        run.contents.hyperparameters["learning_rate"] = rate
    assert list(seed_groups(runs[4:])) == ["learning_rate = 0.1", "learning_rate = 0.2"]


def test_whole_numbers_are_named_as_such():
    runs = [
        run_of({"train/reward": [(0, 1.0)]}, hyperparameters={"steps": steps}) for steps in (40000.0, 40000.0, 80000.0)
    ]
    assert list(seed_groups([*runs, *runs[2:]])) == ["steps = 40000", "steps = 80000"]


def test_a_number_that_one_log_keeps_as_a_float_is_the_same_setting():
    """Event files keep floats, the YAML beside a CSV whole numbers."""
    settings = [{"lr": lr, "steps": steps} for lr in (0.1, 0.2) for steps in (64, 64.0)]
    runs = [
        run_of({"train/reward": [(0, 1.0)]}, name=str(at), hyperparameters=each) for at, each in enumerate(settings)
    ]
    assert list(seed_groups(runs)) == ["lr = 0.1", "lr = 0.2"]
    assert split_settings(runs) == (["lr"], ["steps"])


def test_a_curve_is_the_interquartile_mean_with_its_interval():
    curve = list(seed_curves(RUNS, "train/reward"))[1]
    assert curve.name == "lr = 0.2 (5)"
    scores = np.array([[20 + seed + curve.steps / 10 * seed] for seed in (1, 2, 3, 5, 9)])
    np.testing.assert_allclose(curve.mean, interquartile_mean(scores))
    np.testing.assert_allclose([curve.low, curve.high], bootstrap_interval(interquartile_mean, scores))


def test_a_group_without_common_steps_or_the_tag_is_left_out():
    apart = [run(1, 0.3), run(2, 0.3, first=1000), run(1, 0.4, tag="mine"), run(2, 0.4, tag="mine")]
    assert [curve.name for curve in seed_curves([*RUNS, *apart], "train/reward")] == ["lr = 0.1 (5)", "lr = 0.2 (5)"]


def test_the_page_begins_with_the_seeds(tmp_path):
    page = written(tmp_path, RUNS)
    assert [section["title"] for section in data_of(page)["sections"]] == ["Seeds", "Returns"]
    chart = charts_of(page)["train/reward over seeds"]
    curve = next(seed_curves(RUNS, "train/reward"))
    assert [each["name"] for each in chart["curves"]] == ["lr = 0.1 (5)", "lr = 0.2 (5)"]
    assert [each["run"] for each in chart["curves"]] == [0, 1]  # the first colors: those of runs 0 and 5 are two blues
    np.testing.assert_allclose(decoded(chart["curves"][0]["high"], "<f4"), curve.high, rtol=1e-6)
    assert "95 % bootstrap interval" in chart["about"]
    for runs, tags in (
        (RUNS[:1], None),
        ([run(1, 0.1), run(2, 0.2)], None),
        ([*RUNS, run(1, 0.1, tag="mine")], "mine"),
    ):
        assert "Seeds" not in [section["title"] for section in data_of(written(tmp_path, runs, tags=tags))["sections"]]


def test_runs_of_one_group_look_alike_where_groups_are_compared(tmp_path):
    alone = run(1, 0.3)
    page = written(tmp_path, [RUNS[0], RUNS[5], alone, *RUNS[1:5], *RUNS[6:]])
    data = data_of(page)
    assert data["looks"] == [0, 1, 2, *4 * [0], *4 * [1]]
    assert data["legend"] == [["lr = 0.1 (5)", 0], ["lr = 0.2 (5)", 1], [alone.path.name, 2]]
    assert re.findall(r'data-run="(\d)"', page.split("<tbody>")[1].split("</tbody>")[0]) == [*"012", *"0000", *"1111"]
    for runs in (RUNS[:5], [RUNS[0], RUNS[5]]):  # nothing to compare with: each run has a look of its own
        data = data_of(written(tmp_path, runs))
        assert data["looks"] == list(range(len(runs)))
        assert [name for name, _ in data["legend"]] == data["runs"]


def test_a_group_keeps_its_look_where_another_lacks_the_returns(tmp_path):
    others = [run(seed, 0.05, tag="mine") for seed in (1, 2)]
    page = written(tmp_path, [*others, *RUNS])
    assert [(each["name"], each["run"]) for each in charts_of(page)["train/reward over seeds"]["curves"]] == [
        ("lr = 0.1 (5)", 1),
        ("lr = 0.2 (5)", 2),
    ]
    assert data_of(page)["looks"] == [0, 0, *5 * [1], *5 * [2]]


def test_the_page_compares_groups_in_words(tmp_path):
    page = written(tmp_path, RUNS)
    assert "was highest with lr = 0.2: " in page and "and lowest with lr = 0.1: " in page and "highest in" not in page


@pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium to open the page in")
def test_a_browser_names_the_groups_beside_their_curves(tmp_path):
    script = "document.title = getComputedStyle(document.querySelector('.groups .swatch')).printColorAdjust;"
    document, errors = browse(report(RUNS, tmp_path / "report.html"), tmp_path, script=script)
    assert not errors
    legend = document.split('class="groups"')[1].split("</p>")[0]
    assert re.findall(r'data-run="(\d)"[^>]*></span>([^<]+)', legend) == [("0", "lr = 0.1 (5)"), ("1", "lr = 0.2 (5)")]
    assert 'aria-label="train/reward over seeds over steps"' in document
    top = document.split('class="runs"')[1].split("</ul>")[0]
    assert re.findall(r'data-run="(\d)"[^>]*></span>([^<]+)', top) == [("0", "lr = 0.1 (5)"), ("1", "lr = 0.2 (5)")]
    assert "<title>exact</title>" in document  # paper without backgrounds has the colors that curves are found by


@pytest.mark.parametrize(
    ("runs", "names"), [(RUNS, ["lr = 0.1 (5)", "lr = 0.2 (5)"]), (RUNS[:5], ["5 runs"]), (RUNS[::5], None)]
)
def test_the_figure_of_a_comparison_mixes_no_settings(runs, names, tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: drawn.setdefault(path.stem, figure))
    save_figures(runs, tmp_path, tags="train/reward")
    figure = drawn.get("compare_train_reward")
    assert (figure and [text.get_text() for text in figure.axes[0].get_legend().get_texts()]) == names
