import pytest

from puffer_callbacks.report.chart_data import curve_sections
from puffer_callbacks.report.sections import sections
from puffer_callbacks.values.vocabulary import VOCABULARY
from tests.support.runs import run_of

RISING = [(0, 1.0), (64, 2.0)]
FALLING = [(0, -1.0), (64, -2.0)]


def titles(runs, tags=None):
    return {title: [chart.tag for chart in charts] for title, charts in sections(runs, tags).items()}


def test_returns_come_first_whoever_wrote_the_run():
    run = run_of(
        {"train/value_loss": [(0, 4.0), (64, 5.0)], "rollout/ep_rew_mean": RISING, "mine/x": [(0, 7.0), (64, 9.0)]}
    )
    assert titles([run]) == {
        "Returns": ["train/reward"],
        "Policy and critic": ["train/value_loss"],
        "Other": ["mine/x"],
    }


def test_numbers_that_are_logged_twice_are_shown_once():
    run = run_of(
        {"train/reward": RISING, "rollout/return_mean": RISING, "train/entropy": RISING, "losses/entropy": FALLING}
    )
    shown = sections([run])
    assert [(chart.tag, chart.copies) for chart in shown["Returns"]] == [("train/reward", ["rollout/return_mean"])]
    assert [(chart.tag, chart.copies) for chart in shown["Policy and critic"]] == [
        ("train/entropy", ["losses/entropy"])
    ]


def test_numbers_that_agree_by_chance_are_shown_twice():
    length_is_return = run_of({"train/reward": RISING, "train/episode_length": RISING})
    assert titles([length_is_return])["Returns"] == ["train/reward", "train/episode_length"]
    zeros = [(0, 0.0), (64, 0.0)]
    constants = run_of({"diagnostics/clip_fraction": zeros, "diagnostics/explained_variance": zeros})
    assert len(titles([constants])["Policy and critic"]) == 2


def test_series_without_a_number_are_no_copies_of_each_other():
    nan = float("nan")
    gone = [(0, nan), (64, nan)]
    once = [(0, 1.0), (64, nan)]
    run = run_of(
        {"gradient_norm/total": gone, "gradient_norm/actor": gone, "train/loss": once, "train/grad_scale": once}
    )
    assert [chart.copies for charts in sections([run]).values() for chart in charts] == [[]] * 4


def test_a_constant_of_another_library_is_no_second_chart():
    rates = {"train/clip_fraction": [(0, 0.1), (64, 0.1)], "train/entropy_loss": [(0, -0.5), (64, -0.5)]}
    charts = [chart for each in sections([run_of(rates)]).values() for chart in each]
    assert {chart.tag: chart.copies for chart in charts} == {
        "train/entropy": ["train/entropy_loss"],
        "diagnostics/clip_fraction": ["train/clip_fraction"],
    }


def test_names_of_one_number_are_one_chart_where_it_is_constant_or_missing():
    constant, gone = [(0, 200.0), (64, 200.0)], [(0, float("nan")), (64, float("nan"))]
    run = run_of(
        {
            "train/episode_length": constant,
            "rollout/episode_length_mean": constant,
            "train/value_loss": gone,
            "losses/value": gone,
        }
    )
    assert {chart.tag: chart.copies for charts in sections([run]).values() for chart in charts} == {
        "train/episode_length": ["rollout/episode_length_mean"],
        "train/value_loss": ["losses/value"],
    }


def test_tags_of_other_libraries_stand_in_the_groups_of_their_names():
    names = ["robot/knee/torque", "robot/speed", "camera/blur", "loss", "zebra", "camera/noise", "lone/x"]
    run = run_of({name: [(0, float(at)), (64, at + 1.0)] for at, name in enumerate(names)})
    assert list(titles([run]).items()) == [
        ("camera", ["camera/blur", "camera/noise"]),
        ("robot", ["robot/knee/torque", "robot/speed"]),
        ("Other", ["lone/x", "loss", "zebra"]),
    ]
    assert [section["first"] for section in curve_sections(sections([run]), [])] == [2, 2, 3]  # none is folded


def test_a_name_of_another_library_is_a_copy_of_what_it_means():
    run = run_of({"rollout/ep_rew_mean": RISING, "rollout/ep_len_mean": RISING})  # as of CartPole
    assert {chart.tag: chart.copies for chart in sections([run])["Returns"]} == {
        "train/reward": ["rollout/ep_rew_mean"],
        "train/episode_length": ["rollout/ep_len_mean"],
    }


def test_the_steps_themselves_are_no_curve():
    run = run_of(
        {"train/reward": RISING, "time/env_steps": [(0, 0.0), (64, 64.0)], "agent_steps": [(0, 0.0), (64, 64.0)]}
    )
    assert titles([run]) == {"Returns": ["train/reward"]}


@pytest.mark.parametrize("points", [[(0, 0.0)], [(0, 0.0), (1, 1.0)]])
def test_a_return_that_equals_its_step_is_a_curve(points):
    run = run_of({"train/reward": points, "time/env_steps": [(step, float(step)) for step, _ in points]})
    assert titles([run]) == titles([run], "train/reward") == {"Returns": ["train/reward"]}
    assert titles([run_of({"mine": [(0, 0.0)]})]) == {"Other": ["mine"]}


def test_runs_are_overlaid_by_our_names():
    ours, theirs = run_of({"train/reward": RISING}), run_of({"rollout/ep_rew_mean": FALLING})
    (chart,) = sections([ours, theirs])["Returns"]
    assert [values.tolist() for _, values in chart.series.values()] == [[1.0, 2.0], [-1.0, -2.0]]


def test_tags_choose_the_curves():
    run = run_of({"train/reward": RISING, "rollout/return_mean": RISING, "train/value_loss": [(0, 3.0), (64, 5.0)]})
    assert titles([run], ["train/v*"]) == {"Policy and critic": ["train/value_loss"]}
    assert titles([run], ["rollout/return_mean"]) == {"Returns": ["train/reward"]}
    with pytest.raises(ValueError, match=r"tags: expected one of \['train/value_loss'.*\], got 'train/value_los'"):
        sections([run], ["train/value_los"])


def test_single_layers_come_after_the_whole_network():
    tags = ["plasticity/dormant_ratio/actor.1", "plasticity/dormant_ratio", "plasticity/weight_norm"]
    run = run_of({tag: [(0, at), (64, at + 1.0)] for at, tag in enumerate(tags)})
    ordered = ["plasticity/dormant_ratio", "plasticity/weight_norm", "plasticity/dormant_ratio/actor.1"]
    assert titles([run])["Plasticity"] == ordered
    (section,) = curve_sections(sections([run]), [])
    assert section["first"] == 2  # the others are folded


@pytest.mark.parametrize(
    ("values", "spread"),
    [((1.0, 100.0), False), ((1.0, 101.0), True), ((5e-324, 1.7e308), True), ((0.0, 101.0), False)],
)
def test_a_logarithm_is_for_positive_values_over_more_than_two_magnitudes(values, spread):
    run = run_of({"mine": list(zip((1, 2), values, strict=True))})
    (section,) = curve_sections(sections([run]), [])
    assert section["charts"][0]["spread"] is spread


def test_every_number_of_the_vocabulary_has_a_section():
    numbers = [tag for tag in VOCABULARY if not tag.startswith(("weights/", "gradients/", "observations", "attention"))]
    series = {tag: [(0, float(place)), (64, float(place * place + 2))] for place, tag in enumerate(numbers)}
    shown = titles([run_of(series)])
    assert shown["Other"] == ["episodes"], "pictures, which are no numbers"
    assert shown["rollout"] == [f"rollout/{name}" for name in ("actions", "advantages", "rewards", "values")]
