"""What is drawn is what was computed; axes can be given; labels and legends are there."""

import io
import itertools
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from puffer_callbacks import Histogram, plots
from puffer_callbacks.plots.densities import common_edges, density, quartiles, shares, spread
from puffer_callbacks.plots.statistics import bootstrap_interval, interquartile_mean
from puffer_callbacks.plots.style import PALETTE, short_number, short_numbers
from tests.support.runs import run_of

RNG = np.random.default_rng(0)
SCORES = {"PPO": RNG.normal(480, 20, (6, 2)), "A2C": RNG.normal(400, 50, (5, 2))}
HISTOGRAMS = [(step, Histogram.of(torch.full((100,), float(step)) + torch.linspace(0, 1, 100))) for step in range(4)]


def seeds(number=4, **options):
    noise = np.random.default_rng(1).normal(size=(number, 30))
    return [
        run_of(
            {"train/reward": [(64 * i, float(i + noise[seed, i])) for i in range(30)]}, name=f"seed{seed}", **options
        )
        for seed in range(number)
    ]


FIGURES = {
    "compare": lambda **ax: plots.compare(seeds(), repetitions=20, **ax),
    "profiles": lambda **ax: plots.performance_profiles(SCORES, repetitions=20, **ax),
    "improvement": lambda **ax: plots.probability_of_improvement(SCORES, repetitions=20, **ax),
    "ridges": lambda **ax: plots.histogram_ridges(HISTOGRAMS, title="weights", **ax),
    "heatmap": lambda **ax: plots.histogram_heatmap(HISTOGRAMS, title="weights", **ax),
    "sweep": lambda **ax: plots.by_hyperparameter(seeds(hyperparameters={"lr": 0.1}), "lr", **ax),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_a_title_and_names_its_axes(name):
    (ax, *_) = FIGURES[name]().axes
    assert ax.get_title(loc="left")
    assert ax.get_xlabel()


@pytest.mark.parametrize("name", FIGURES)
def test_given_axes_are_drawn_in(name):
    figure, ax = plt.subplots()
    assert FIGURES[name](ax=ax) is figure
    assert ax.has_data()
    plt.close(figure)


def test_no_figure_stays_open_to_be_shown_twice():
    before = plt.get_fignums()
    FIGURES["compare"]()
    assert plt.get_fignums() == before


def test_a_curve_is_the_interquartile_mean_with_its_bootstrap_band():
    runs = seeds()
    (ax,) = plots.compare(runs, points=30, repetitions=200, seed=3).axes
    scores = np.stack([run.series("train/reward")[1] for run in runs])[:, None]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), interquartile_mean(scores))
    low, high = bootstrap_interval(interquartile_mean, scores, repetitions=200, seed=3)
    drawn = ax.collections[0].get_paths()[0].vertices
    assert drawn[:, 1].min() == low.min()
    assert drawn[:, 1].max() == high.max()


def test_the_mean_is_one_word_away():
    runs = seeds()
    (ax,) = plots.compare(runs, points=30, statistic="mean", repetitions=20).axes
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), np.mean([run.series("train/reward")[1] for run in runs], axis=0)
    )
    with pytest.raises(ValueError, match=r"statistic: expected one of \['iqm', 'mean'\], got 'median'"):
        plots.compare(runs, statistic="median")


def test_groups_are_named_with_their_number_of_runs():
    (ax,) = plots.compare({"PPO": seeds(4), "A2C": seeds(3)}, repetitions=20).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["PPO (4)", "A2C (3)"]
    (ax,) = plots.compare(seeds(4), repetitions=20).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["4 runs"]


def test_axes_are_named_by_what_they_count():
    def counted(axis, tag="mine"):
        return run_of({tag: [(8, 1.0), (16, 2.0)], f"time/{axis}": [(8, 8.0), (16, 16.0)]})

    (ax,) = plots.compare(counted("env_steps", "train/entropy"), "train/entropy").axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("environment steps", "nats")
    (ax,) = plots.compare(counted("optimizer_steps"), "mine").axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("optimizer steps", "value")
    both = plots.diagnostics([counted("env_steps"), counted("optimizer_steps")], tags="mine")
    assert both.axes[0].get_xlabel() == "steps"


def test_one_run_has_a_curve_and_no_band():
    (ax,) = plots.compare(seeds(1)).axes
    assert len(ax.lines) == 1
    assert not ax.collections


def test_scores_and_steps_have_to_fit():
    with pytest.raises(ValueError, match=r"scores: expected \[runs, tasks, 4\] for 'PPO', got \(3, 1, 5\)"):
        plots.learning_curves({"PPO": np.zeros((3, 1, 5))}, np.arange(4))


def test_improvement_is_drawn_against_the_baseline():
    (ax,) = plots.probability_of_improvement(SCORES, baseline="A2C", repetitions=20).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["PPO > A2C"]
    with pytest.raises(ValueError, match=r"baseline: expected one of \['PPO', 'A2C'\]"):
        plots.probability_of_improvement(SCORES, baseline="DQN")


def test_diagnostics_have_a_panel_for_each_tag_that_a_run_has():
    run = run_of({"train/reward": [(0, 1.0), (9, 2.0)], "train/entropy_loss": [(0, -0.7), (9, -0.5)]})
    panels = [ax for ax in plots.diagnostics(run).axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in panels] == ["train/reward", "train/entropy"]
    assert panels[1].lines[0].get_ydata().tolist() == [0.7, 0.5]
    assert panels[1].get_ylabel() == "nats"
    four = plots.diagnostics(run_of({tag: [(0, 1.0), (9, 2.0)] for tag in plots.PANELS[:4]}))
    assert [ax.get_visible() for ax in four.axes] == [True] * 4 + [False] * 2
    with pytest.raises(ValueError, match="tags: expected one that a run has"):
        plots.diagnostics(run, tags=["train/value_loss"])


def test_shares_of_a_histogram_add_up_and_lie_where_the_values_are():
    edges = np.linspace(0, 5, 11)
    found = shares(HISTOGRAMS, edges)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    for (step, _), row in zip(HISTOGRAMS, found, strict=True):
        assert set(np.flatnonzero(row)) <= {2 * step, 2 * step + 1, 2 * step + 2}


def test_quartiles_are_those_of_the_values():
    values = np.random.default_rng(0).normal(5.0, 1.0, 20_000)
    found = quartiles([(0, Histogram.of(values)), (8, Histogram.of(3 * values))])
    expected = np.quantile(values, [0.25, 0.5, 0.75])
    np.testing.assert_allclose(found, np.stack([expected, 3 * expected], axis=1), rtol=0.02)


def test_a_constant_beside_a_spread_is_all_in_the_bin_that_holds_it():
    """As of biases, which begin at zero."""
    points = [(0, Histogram.of(torch.zeros(100))), (8, Histogram.of(torch.linspace(-0.9, 1.1, 1000)))]
    drawn = density(points, num_bins=48)
    (place,) = np.flatnonzero(drawn.shares[0])
    assert drawn.edges[place] <= 0 <= drawn.edges[place + 1] and drawn.shares[0, place] == 1.0


def test_of_many_histograms_some_are_drawn_the_first_and_the_last_among_them():
    points = [(10 * place, Histogram.of([float(place)])) for place in range(7)]
    assert [step for step, _ in spread(points, 4)] == [0, 20, 40, 60]
    assert [step for step, _ in spread(points, 7)] == [step for step, _ in spread(points)] == [*range(0, 70, 10)]


def test_a_ridge_is_as_high_as_its_shares_and_the_newest_stands_in_front():
    points = [(1000, Histogram.of(torch.linspace(0, 1, 1000))), (2000, Histogram.of(torch.linspace(0, 0.5, 1000)))]
    (ax,) = plots.histogram_ridges(points, num_bins=10).axes
    drawn = density(points, num_bins=10)
    heights = 3 * drawn.shares / drawn.shares.max()
    for place, line in enumerate(ax.lines):
        np.testing.assert_allclose(line.get_ydata(), heights[place] - place)
        np.testing.assert_allclose(line.get_xdata(), (drawn.edges[1:] + drawn.edges[:-1]) / 2)
        filled = ax.collections[place].get_paths()[0].vertices[:, 1]
        np.testing.assert_allclose([filled.min(), filled.max()], [-place, heights[place].max() - place])
    orders = [artist.get_zorder() for pair in zip(ax.collections, ax.lines, strict=True) for artist in pair]
    assert orders == sorted(set(orders))
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    assert [(at, text.get_text()) for at, text in ticks] == [(0, "1k"), (-1, "2k")]


def test_bars_of_single_values_stay_within_their_row():
    (ax,) = plots.histogram_ridges([(0, Histogram.of([0, 0, 0, 1])), (8, Histogram.of([0, 1]))]).axes
    assert [line.get_ydata().max() for line in ax.lines] == [pytest.approx(0.9), pytest.approx(0.6 - 1)]


def test_a_heat_map_shows_the_shares_around_their_steps():
    points = [(step, Histogram.of(torch.linspace(0, 1 + step / 100, 1000))) for step in (10, 30, 40)]
    begun_again = [(50, Histogram.of([9.0])), *points]
    (ax, _) = plots.histogram_heatmap(begun_again, num_bins=10).axes
    mesh = ax.collections[0]
    np.testing.assert_allclose(mesh.get_array().reshape(10, 3), density(points, num_bins=10).shares.T)
    assert mesh.get_coordinates()[0, :, 0].tolist() == [0, 20, 35, 45]
    assert mesh.get_clim() == (0.0, density(points, num_bins=10).shares.max())
    for line, values in zip(ax.lines, quartiles(points), strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([[10, 30, 40], values], axis=1))


def test_discrete_values_keep_their_shares_at_both_ends():
    points = [(0, Histogram.of(torch.tensor([0.0, 0.0, 0.0, 1.0])))]
    (row,) = shares(points, common_edges(points, num_bins=10))
    np.testing.assert_allclose(row, [0.75, *[0.0] * 8, 0.25])


@pytest.mark.parametrize("values", [[0, 1, 2, 3], [-1.0, 0.0, 0.5], [-2.0, 2.0], [7.0], list(range(12))])
def test_a_few_values_have_a_row_each(values):
    rng = np.random.default_rng(0)
    samples = [rng.choice(values, size=50) for _ in range(3)]
    drawn = density([(step, Histogram.of(sample)) for step, sample in enumerate(samples)], num_bins=48)
    assert drawn.values.tolist() == values
    assert drawn.shares.tolist() == [[float((sample == value).mean()) for value in values] for sample in samples]
    assert len(drawn.edges) == len(values) + 1


@pytest.mark.parametrize("values", [[0.3, 0.7, 1.0], [-0.3, 0.3], list(range(13))])
def test_other_values_are_binned(values):
    drawn = density([(0, Histogram.of(values))], num_bins=48)
    assert (drawn.values, drawn.shares.shape) == (None, (1, 48))


def test_discrete_actions_have_a_tick_each_and_no_quartiles():
    points = [(step, Histogram.of([0, 0, 2])) for step in range(3)]
    ax, _ = plots.histogram_heatmap(points).axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["0", "2"]
    assert ax.collections[0].get_clim() == (0.0, 1.0), "where every value is the same its color is the brightest"
    assert not ax.lines
    (ax,) = plots.histogram_ridges(points).axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "2"]
    assert len(ax.lines) == 3


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_text_stands_out_from_the_background_of_every_style(style):
    with plt.style.context(style):
        (ax,) = plots.performance_profiles(SCORES, repetitions=20).axes
    legend = ax.get_legend()
    texts = [ax.xaxis.label, ax.yaxis.label, *ax.get_xticklabels(), *legend.get_texts(), legend.get_title(), ax.title]
    background = luminance(ax.get_facecolor())
    for text in texts:
        light, dark = sorted((luminance(text.get_color()), background), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG 2.2, 1.4.3


def luminance(color):
    """Relative luminance of WCAG 2.2."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(color)]
    return float(np.dot([0.2126, 0.7152, 0.0722], parts))


def test_common_edges_leave_single_extremes_outside():
    values = torch.cat([torch.linspace(-1, 1, 10_000), torch.tensor([1e9])])
    low, *_, high = common_edges([(0, Histogram.of(values))], num_bins=10)
    assert -1.2 < low < -0.9
    assert 0.9 < high < 1.2


def test_a_constant_and_an_empty_histogram_are_drawn():
    points = [(0, Histogram.of(torch.ones(5))), (1, Histogram.of(torch.ones(0))), (2, Histogram.of(torch.ones(5)))]
    edges = common_edges(points, num_bins=5)
    assert shares(points, edges).tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert plots.histogram_heatmap(points).axes
    with pytest.raises(ValueError, match="expected a histogram that holds finite values, got 1 empty"):
        plots.histogram_ridges(points[1:2])


def test_colors_differ_for_people_with_any_color_vision():
    """As simulated by Machado et al. 2009 at full severity, with a gamma of 2."""
    matrices = {
        "protanopia": [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        "deuteranopia": [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.01182, 0.04294, 0.968881],
        ],
        "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
    }
    for matrix in matrices.values():
        seen = [np.asarray(matrix) @ np.square(to_rgb(color)) for color in PALETTE]
        assert min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2)) > 0.1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (999.6, "1k"), (58368, "58.4k"), (1e6, "1M"), (-2.5e9, "-2.5G"), (0.00025, "0.00025"), (120, "120")],
)
def test_short_numbers(value, text):
    assert short_number(value) == text


def test_without_matplotlib_one_line_names_the_extra(tmp_path):
    script = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from puffer_callbacks import plots\n"
        "try:\n    plots.learning_curves({'a': [[[1.0]]]}, [0])\n"
        "except ImportError as error:\n    print(error)\n"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == (
        'figures: expected the package matplotlib, which is not installed; run: pip install "puffer_callbacks[report]"'
    )


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 500, 1000], ["0", "500", "1k"]),
        ([1_000_000, 1_000_200, 1_000_400], ["1M", "1.0002M", "1.0004M"]),
        ([123_456_700, 123_456_800], ["123.4567M", "123.4568M"]),
        ([5, 5, 6], ["5", "5", "6"]),
    ],
)
def test_ticks_have_distinct_labels(values, labels):
    assert short_numbers(values) == labels


def test_steps_far_from_zero_have_labels_of_their_own():
    run = run_of({"train/reward": [(1_000_000 + 10 * i, float(i)) for i in range(100)]})
    figure = plots.diagnostics(run)
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert len(set(labels)) == len(labels) > 3


def test_values_that_are_not_finite_are_a_gap_in_the_line():
    values = [0.0, 1.0, float("nan"), float("inf"), 4.0]
    (line,) = plots.diagnostics(run_of({"train/reward": list(enumerate(values))})).axes[0].lines
    np.testing.assert_array_equal(line.get_ydata(), [0.0, 1.0, np.nan, np.nan, 4.0])


def test_the_legend_names_every_run_once_whatever_its_name():
    names = ["_hidden", "cost $\\frac$ $x$", *(f"seed{number}" for number in range(8))]
    runs = [run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=name) for name in names]
    runs.append(run_of({"train/entropy": [(0, 1.0), (9, 2.0)]}, name="without_returns"))
    figure = plots.diagnostics(runs)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert [text.get_text().lstrip("\u200b") for text in legend.get_texts()] == [*names, "without_returns"]
    looks = {(line.get_color(), line.get_linestyle()) for ax in figure.axes for line in ax.lines}
    assert len(looks) == len(runs)
    assert min(ax.get_window_extent().height for ax in figure.axes) > 0.4 * figure.get_window_extent().height


def test_a_restarted_run_has_each_histogram_once():
    again = [*HISTOGRAMS, *HISTOGRAMS[1:]]
    for kind in (plots.histogram_heatmap, plots.histogram_ridges):
        plain, restarted = kind(HISTOGRAMS).axes[0], kind(again).axes[0]
        assert len(plain.collections) == len(restarted.collections)
        assert [label.get_text() for label in plain.get_yticklabels()] == [
            label.get_text() for label in restarted.get_yticklabels()
        ]


def test_long_names_of_runs_lie_inside_the_figure():
    names = [f"CartPole-v1__ppo_continuous_action__{seed}__1700000000" for seed in range(4)]
    runs = [run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, name=name) for name in names]
    figure = plots.diagnostics(runs)
    figure.canvas.draw()
    (legend,) = figure.legends
    assert figure.bbox.x0 <= legend.get_window_extent().x0 < legend.get_window_extent().x1 <= figure.bbox.x1
    assert len({text.get_text() for text in legend.get_texts()}) == len(names)


def test_all_panels_have_the_axis_of_the_runs():
    figure = plots.diagnostics(run_of({"train/reward": [(0, 1.0), (900, 2.0)], "train/entropy": [(500, 0.7)]}))
    returns, entropy = figure.axes
    assert returns.get_xlim() == entropy.get_xlim()
    first, last = returns.get_xlim()
    assert first <= 0
    assert last >= 900


def test_values_of_a_sweep_are_short_and_apart():
    rates = np.exp(np.random.default_rng(0).uniform(np.log(1e-5), np.log(1e-2), 9)).tolist()
    runs = [run_of({"train/reward": [(0, 1.0), (9, 2.0)]}, hyperparameters={"lr": rate}) for rate in rates]
    figure = plots.by_hyperparameter(runs, "lr")
    figure.canvas.draw()
    labels = figure.axes[0].get_xticklabels()
    assert [float(label.get_text()) for label in labels] == pytest.approx(sorted(rates), rel=5e-3)
    corners = [(label.get_window_extent().x1, label.get_window_extent().y1) for label in labels]
    assert max(len(label.get_text()) for label in labels) <= len("0.000123")
    height = corners[0][1] - labels[0].get_window_extent().y0
    assert min(right - left for (left, _), (right, _) in itertools.pairwise(corners)) > 0.5 * height
    assert list(plots.scores.group_runs(runs, "lr")) == [f"lr = {label.get_text()}" for label in labels]


def test_more_algorithms_than_colors_look_different():
    scores = {f"algorithm {number}": RNG.normal(number, 1, 5) for number in range(2 * len(PALETTE))}
    (ax,) = plots.performance_profiles(scores, repetitions=5).axes
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == len(scores)


def test_an_unknown_statistic_is_one_clear_line_in_every_figure():
    for draw in (plots.compare, lambda runs, statistic: plots.by_hyperparameter(runs, "lr", statistic=statistic)):
        with pytest.raises(ValueError, match=r"statistic: expected one of \['iqm', 'mean'\], got 'median'"):
            draw(seeds(hyperparameters={"lr": 0.1}), statistic="median")


def test_a_value_between_two_gaps_is_a_dot_and_a_single_step_has_room():
    nan = float("nan")
    values = [1.0, nan, 2.0, 3.0, nan, 4.0]
    run = run_of({"train/loss": list(enumerate(values)), "train/reward": [(100, 5.0)]})
    loss, reward = (plots.diagnostics([run], tags=[tag]).axes[0] for tag in ("train/loss", "train/reward"))
    assert loss.lines[0].get_markevery().tolist() == [0, 5]
    assert reward.lines[0].get_markevery().tolist() == [0]
    single = plots.diagnostics([run_of({"train/reward": [(100, 5.0)]})]).axes[0]
    single.figure.savefig(io.BytesIO())
    assert single.get_xlim() == pytest.approx((98.94, 101.06))
    assert all(label.get_text().isdigit() for label in single.get_xticklabels())


def test_a_line_without_gaps_has_no_dots_in_the_legend():
    whole, gappy = [(0, 1.0), (1, 2.0), (2, 3.0)], [(0, 1.0), (1, float("nan")), (2, 3.0)]
    figure = plots.diagnostics(
        [run_of({"train/reward": points}, name=name) for name, points in (("a", whole), ("b", gappy))]
    )
    assert [line.get_marker() for line in figure.axes[0].lines] == ["None", "o"]


def test_numbers_beyond_the_prefixes_are_powers_of_ten():
    assert [short_number(value) for value in (9.99e14, -9.996e14, 1e15, 1.162e31)] == [
        "999T",
        "-1e+15",
        "1e+15",
        "1.16e+31",
    ]


@pytest.mark.parametrize(("name", "is_below"), [("PPO", False), ("learning_rate = 0.0025, num_envs = 8", True)])
def test_a_legend_of_long_names_stands_below_the_curves(name, is_below):
    figure = plots.compare({name: seeds(2), "other": seeds(2)}, repetitions=10)
    figure.savefig(io.BytesIO())
    (ax,) = figure.axes
    legend = ax.get_legend().get_window_extent()
    assert (legend.y1 <= ax.xaxis.label.get_window_extent().y0) == is_below
    assert legend.y0 >= 0
