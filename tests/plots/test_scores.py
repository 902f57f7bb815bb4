import os
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from puffer_callbacks.plots import compare, diagnostics
from puffer_callbacks.plots.scores import curves, final_scores, group_runs, hyperparameter, run_names
from puffer_callbacks.report import report, save_figures
from puffer_callbacks.report.sections import sections
from tests.support.runs import run_of

REWARD = "train/reward"


def line(first, last, slope=1.0, **options):
    return run_of({REWARD: [(step, slope * step) for step in range(first, last + 1, 10)]}, **options)


def test_curves_are_interpolated_on_the_steps_that_all_runs_cover():
    steps, scores = curves([line(0, 100), line(20, 60, slope=2.0)], REWARD, points=5)
    assert steps.tolist() == [20, 30, 40, 50, 60]
    np.testing.assert_allclose(scores[:, 0], [steps, 2 * steps])


def test_one_step_in_common_is_enough():
    steps, scores = curves([line(0, 50), line(50, 100, slope=2.0)], REWARD, points=2)
    assert (steps.tolist(), scores[:, 0, 0].tolist()) == ([50, 50], [50, 100])


def test_points_that_are_not_finite_are_left_out():
    run = run_of({REWARD: [(0, 0.0), (10, float("nan")), (20, 20.0)]})
    assert curves([run], REWARD, points=3)[1].tolist() == [[[0.0, 10.0, 20.0]]]


def test_the_final_score_is_the_mean_of_the_last_part():
    run = run_of({REWARD: [(step, float(step)) for step in range(101)]})
    assert final_scores([run], REWARD, fraction=0.1).tolist() == [[95.0]]
    assert final_scores([run], REWARD, fraction=1.0).tolist() == [[50.0]]
    late = run_of({REWARD: [(1000 + step, float(step)) for step in range(101)]})
    assert final_scores([late], REWARD, fraction=0.1).tolist() == [[95.0]]


def test_a_tag_of_another_library_answers_to_our_name():
    run = run_of({"rollout/ep_rew_mean": [(0, 1.0), (10, 3.0)]})
    assert final_scores([run], REWARD).tolist() == [[3.0]]
    assert final_scores([run], "rollout/ep_rew_mean").tolist() == [[3.0]]


def test_runs_are_grouped_by_a_hyperparameter_in_the_order_of_its_values():
    runs = [line(0, 10, hyperparameters={"ppo/lr": lr, "name": name}) for lr, name in ((0.01, "b"), (0.001, "a"))]
    assert list(group_runs([*runs, runs[0]], "lr")) == ["lr = 0.001", "lr = 0.01"]
    assert [len(each) for each in group_runs([*runs, runs[0]], "lr").values()] == [1, 2]
    assert list(group_runs(runs, "name")) == ["name = a", "name = b"]


def test_a_whole_number_is_one_group_whether_its_log_kept_it_as_a_float_or_not():
    runs = [line(0, 10, hyperparameters={"n_steps": value}) for value in (100_000, 100_000.0, 64.0)]
    groups = group_runs(runs, "n_steps")
    assert [(name, len(each)) for name, each in groups.items()] == [("n_steps = 64", 1), ("n_steps = 100000", 2)]


@pytest.mark.parametrize("runs", [[], {}, {"PPO": []}, {"PPO": [line(0, 10)], "A2C": []}])
def test_a_group_without_a_run_is_refused(runs):
    with pytest.raises(ValueError, match="runs: expected at least one run in each group, got "):
        group_runs(runs)


def test_a_hyperparameter_is_found_by_its_whole_name_or_by_an_ending_that_only_one_has():
    run = line(0, 10, hyperparameters={"lr": 0.1, "ppo/lr": 0.2, "ppo/gamma": 0.9})
    found = {name: hyperparameter(run, name) for name in ("lr", "ppo/lr", "gamma")}
    assert found == {"lr": 0.1, "ppo/lr": 0.2, "gamma": 0.9}
    del run.contents.hyperparameters["lr"]
    run.contents.hyperparameters["dqn/lr"] = 0.3
    with pytest.raises(ValueError, match=r"hyperparameter: expected one of \['dqn/lr', 'ppo/lr'\], got 'lr'"):
        hyperparameter(run, "lr")


def test_a_file_is_named_without_its_ending_and_a_folder_with_its_decimals(tmp_path):
    (tmp_path / "exp1.csv").write_text("step,a\n")
    runs = [line(0, 10, name=str(tmp_path / name)) for name in ("exp1.csv", "lr=0.1", "lr=0.2")]
    assert run_names(runs) == ["exp1", "lr=0.1", "lr=0.2"]


def test_names_tell_runs_apart():
    assert run_names([line(0, 10, name="logs/a"), line(0, 10, name="logs/b")]) == ["a", "b"]
    assert run_names([line(0, 10, name="logs/exp1/version_0")]) == ["exp1/version_0"]
    assert run_names([line(0, 10, name=f"logs/exp1/version_{at}") for at in (0, 1)]) == ["version_0", "version_1"]
    assert run_names([line(0, 10, name="logs/1/PPO"), line(0, 10, name="logs/2/PPO")]) == ["1/PPO", "2/PPO"]


def test_unknown_names_are_answered_with_near_ones():
    run = line(0, 10, hyperparameters={"ppo/learning_rate": 0.1, "gamma": 0.9})
    with pytest.raises(ValueError, match=r"tag: expected one of \['train/reward'\], got 'train/rewrd'"):
        curves([run], "train/rewrd")
    with pytest.raises(ValueError, match=r"expected one of \['ppo/learning_rate'\], got 'learning_rte'"):
        hyperparameter(run, "learning_rte")


def test_unknown_names_where_there_are_none_at_all():
    run = run_of({"time/elapsed": [(0, 1.0)]})
    with pytest.raises(ValueError, match=r"^tags: got 'X', but there are no curves in the log$"):
        sections([run], "X")
    with pytest.raises(ValueError, match=r"^hyperparameter: got 'lr', but there are no hyperparameters in the log$"):
        hyperparameter(run, "lr")
    with pytest.raises(ValueError, match=r"^tag: got 'X', but there are no curves in the log$"):
        curves([run_of({})], "X")


def test_the_name_that_the_files_hold_comes_before_the_folder_s():
    runs = [line(0, 10, name=f"wandb/run-{place}") for place in "abcd"]
    for run, name in zip(runs, ["brave\nppo", "a2c", "a2c", ""], strict=True):
        run.contents.name = name
    assert run_names(runs) == ["brave ppo", "a2c (run-b)", "a2c (run-c)", "run-d"]
    assert run_names(runs[:1]) == ["brave ppo"]


def test_a_name_that_stands_for_two_hyperparameters_is_not_guessed():
    run = line(0, 10, hyperparameters={"actor/lr": 0.1, "critic/lr": 0.2})
    with pytest.raises(ValueError, match=r"expected one of \['actor/lr', 'critic/lr'\], got 'lr'"):
        hyperparameter(run, "lr")
    assert hyperparameter(run, "critic/lr") == 0.2


def test_bad_input_is_one_clear_line():
    with pytest.raises(ValueError, match="expected at least one run in each group"):
        group_runs([])
    with pytest.raises(ValueError, match="expected at least one run in each group"):
        group_runs({"PPO": []})
    with pytest.raises(
        ValueError, match="expected steps in common, got a run that begins at 50 and one that ends at 20"
    ):
        curves([line(0, 20), line(50, 90)], REWARD)
    with pytest.raises(ValueError, match="expected finite values of 'train/reward', got 1"):
        curves([run_of({REWARD: [(0, float("inf"))]})], REWARD)
    with pytest.raises(ValueError, match="fraction: expected a number above 0 and at most 1, got 0"):
        final_scores([line(0, 10)], REWARD, fraction=0)


WAYS = {
    "compare": compare,
    "diagnostics": diagnostics,
    "final_scores": lambda runs: final_scores(runs, REWARD),
    "report": lambda runs: report(runs, os.devnull),
    "save_figures": lambda runs: save_figures(runs, os.devnull),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_one_run_and_any_series_of_runs_will_do(way, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: None)
    monkeypatch.setattr(Figure, "savefig", lambda *_, **__: None)
    for runs in (line(0, 20), (line(0, 20),), iter([line(0, 20)])):
        assert way(runs) is not None
    with pytest.raises(TypeError, match=r"^runs: expected runs as read_run and read_runs return them, got 'runs/a'$"):
        way("runs/a")


@pytest.mark.parametrize("tags", [REWARD, "train/*", [REWARD]])
def test_one_tag_is_not_its_letters(tags):
    assert list(sections([line(0, 20, slope=2.0)], tags)) == ["Returns"]
    assert len(diagnostics(line(0, 20, slope=2.0), tags=REWARD if tags == "train/*" else tags).axes) == 1


def test_of_a_run_that_was_resumed_the_points_of_the_last_session_count():
    first, second = [(step, 0.0) for step in range(0, 101, 10)], [(step, 1.0) for step in range(50, 151, 10)]
    run = run_of({REWARD: first + second})
    steps, scores = curves([run, line(0, 150)], REWARD, points=16)
    assert steps.tolist() == list(range(0, 151, 10))
    assert scores[0, 0].tolist() == [0.0] * 5 + [1.0] * 11
    assert final_scores([run], REWARD, fraction=1.0).tolist() == [[11 / 16]]


def test_points_out_of_order_are_interpolated_in_order():
    places = np.random.default_rng(0).permutation(101).tolist()
    run = run_of({REWARD: [(10 * place, float(place) ** 2) for place in places]})
    steps, scores = curves([run], REWARD, points=33)
    np.testing.assert_allclose(scores[0, 0], np.interp(steps, 10.0 * np.arange(101), np.arange(101.0) ** 2))


def test_files_of_one_name_and_runs_of_one_place_have_distinct_names(tmp_path):
    for name in ("run.csv", "run.jsonl"):
        (tmp_path / name).touch()
    files = [line(0, 10, name=str(tmp_path / name)) for name in ("run.csv", "run.jsonl")]
    assert run_names(files) == ["run.csv", "run.jsonl"]
    assert run_names([line(0, 10, name="logs/a"), line(0, 10, name="logs/a")]) == ["a", "a (2)"]
