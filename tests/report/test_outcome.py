import itertools
import math
import re
from array import array

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.logger import configure
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.health import Diagnosis
from puffer_callbacks.report.outcome import outcome
from puffer_callbacks.report.summary import describe_run, describe_runs, duration
from puffer_callbacks.runs import Run, read_run
from tests.support.runs import finding, run_of


def learned(last=500.0, **options):
    slope = last / 1000
    return run_of(
        {
            "train/reward": [(step, slope * step) for step in range(0, 1001, 10)],
            "train/episode_length": [(step, 200.0) for step in range(0, 1001, 10)],
            "throughput/sps": [(500, 1000.0), (1000, 20.0)],
            "time/elapsed": [(500, 25.0), (1000, 50.0)],
            "time/env_steps": [(500, 500.0), (1000, 1000.0)],
        },
        hyperparameters={"ppo/env_id": "CartPole-v1"},
        **options,
    )


def test_an_outcome_is_what_was_logged():
    found = outcome(learned(), "exp1")
    assert (found.first_return, found.final_return, found.best_return, found.best_step) == (25.0, 475.0, 500.0, 1000)
    assert (found.steps, found.seconds, found.episode_length) == (1000, 50.0, 200.0)
    assert found.speed == 20.0  # the steps over the time, not the mean of the rates
    assert (found.name, found.environment, found.nonfinite) == ("exp1", "CartPole-v1", ())


def test_what_a_run_does_not_tell_is_not_made_up():
    found = outcome(run_of({"mine": [(0, 1.0), (5, 2.0)]}), "exp1")
    assert all(
        math.isnan(value) for value in (found.final_return, found.best_return, found.speed, found.episode_length)
    )
    assert describe_run(found, None) == "The run trained for 5 steps."


def test_the_paragraph_of_a_run():
    assert describe_run(outcome(learned(), "exp1"), Diagnosis((finding(),))) == (
        "The run trained on CartPole-v1 for 1k environment steps in 50 s, at 20 steps per second. "
        "The mean return rose from 25 over the first tenth of the run to 475 over the last; "
        "the best was 500, at step 1k. Episodes took 200 steps at the end. "
        "The health rules report 1 critical finding: entropy collapse."
    )


def test_findings_are_counted_by_their_severity():
    warnings = [finding(severity="warning", rule=rule) for rule in ("entropy_collapse", "kl_large")]
    found = Diagnosis((finding(), *warnings))
    report = "The health rules report 1 critical finding, 2 warnings: entropy collapse, kl large."
    assert describe_run(outcome(learned(), "exp1"), found).endswith(report)


@pytest.mark.parametrize(
    ("values", "words"),
    [((100.0, 101.0), "stayed near 101"), ((100.0, 50.0), "fell from 100"), ((-5.0, -1.0), "rose from -5")],
)
def test_the_course_of_the_return(values, words):
    run = run_of({"train/reward": list(zip((0, 1000), values, strict=True))})
    assert words in describe_run(outcome(run, "run"), None)


def test_values_that_are_not_finite_are_named():
    run = run_of({"train/value_loss": [(0, 1.0), (9, float("nan"))], "train/reward": [(0, 1.0), (9, float("inf"))]})
    text = describe_run(outcome(run, "run"), None)
    assert "NaN or infinite values appear in train/reward, train/value_loss." in text


def test_rules_that_found_nothing_are_not_called_healthy():
    text = describe_run(outcome(learned(), "run"), Diagnosis(judged=("a",), not_judged={"b": "needs a critic"}))
    assert text.endswith("1 of the 2 health rules could be applied, and found nothing.")
    assert "healthy" not in text


def test_the_paragraph_of_several_runs():
    outcomes = [outcome(learned(last), name) for last, name in ((500.0, "a"), (100.0, "b"))]
    assert describe_runs(outcomes, ["learning_rate"], [Diagnosis((finding(),)), Diagnosis()]) == (
        "2 runs on CartPole-v1, which differ in learning_rate. The mean return of the last tenth was highest in a "
        "(475) and lowest in b (95). The health rules report 1 critical finding: entropy collapse."
    )


def test_groups_of_seeds_are_compared_in_place_of_the_luckiest_run():
    finals = {"lr = 1": (100.0, 200.0, 300.0, 400.0, 5000.0), "lr = 2": (500.0, 510.0, 520.0, 530.0)}
    groups = {name: [outcome(learned(last), f"{name} {last}") for last in each] for name, each in finals.items()}
    outcomes = [each for members in groups.values() for each in members]
    low, high = np.quantile(resampled_middles([0.95 * last for last in finals["lr = 1"]]), [0.025, 0.975])
    paragraph = describe_runs(outcomes, ["lr"], None, groups)
    found = re.search(r"lowest with lr = 1: 285 \(95 % bootstrap interval (\S+) to (\S+), 5 runs\)", paragraph)
    assert found and float(found[1]) == pytest.approx(low, rel=0.1)
    assert float(found[2].replace("k", "")) * (1000 if "k" in found[2] else 1) == pytest.approx(high, rel=0.1)
    assert "The interquartile mean over seeds of the return in the last tenth was highest with lr = 2: 489" in paragraph
    alone = describe_runs(outcomes[:5], ["seed"], None, {"same settings": outcomes[:5]})
    assert "last tenth was 285 (95 %" in alone and "same settings" not in alone
    assert "highest in lr = 1 5000.0" in describe_runs(outcomes, ["lr"], None, {"lr = 2": groups["lr = 2"]})


def resampled_middles(scores):
    """The interquartile means of every way to draw as many of the scores with replacement."""
    drawn = np.sort(np.array(list(itertools.product(scores, repeat=len(scores)))), axis=1)
    cut = len(scores) // 4
    return drawn[:, cut : len(scores) - cut].mean(axis=1)


def test_runs_of_different_length_are_noted():
    short, long = (
        run_of({"train/reward": [(step, 1.0) for step in range(0, end, 10)]}, name=str(end)) for end in (501, 1001)
    )
    outcomes = [outcome(run, run.path.name) for run in (short, long)]
    assert "Some runs are shorter: 500 to 1k steps." in describe_runs(outcomes, [], None)
    assert "shorter" not in describe_runs(outcomes[:1] * 2, [], None)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (42.4, "42 s"), (59.9, "1 min 0 s"), (3599.8, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def write_session(folder, steps, begin):
    with SummaryWriter(folder, filename_suffix=f".{begin}") as writer:
        for step in steps:
            writer.add_scalar("train/reward", float(step), step, walltime=begin + step)
    (file,) = folder.glob(f"events.*.*.{begin}")
    file.rename(folder / f"events.out.tfevents.{begin:.0f}")  # those of one second are not in order by their names


def test_one_row_has_no_duration(tmp_path):
    with SummaryWriter(tmp_path) as writer:
        for at, tag in enumerate(("train/reward", "train/loss")):
            writer.add_scalar(tag, 1.0, 100, walltime=1_700_000_000.0 + at)
    assert math.isnan(outcome(read_run(tmp_path), "run").seconds)


def test_the_pause_before_a_resume_is_no_time_of_training(tmp_path):
    write_session(tmp_path, range(0, 101), 1_700_000_000.0)
    write_session(tmp_path, range(101, 201), 1_700_086_400.0)
    assert outcome(read_run(tmp_path), "run").seconds == 100.0 + 99.0


def test_a_run_that_began_again_is_described_by_its_last_session(tmp_path):
    write_session(tmp_path, range(0, 101), 1_700_000_000.0)
    write_session(tmp_path, range(0, 51), 1_700_086_400.0)
    found = outcome(read_run(tmp_path), "run")
    assert (found.steps, found.seconds, found.best_return) == (50, 50.0, 50.0)
    assert "The steps go back from 100 to 0; of what was logged twice, the last is shown." in describe_run(found, None)


def test_a_clock_that_begins_again_in_each_call_is_added_up(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=1, device="cpu")
    model.set_logger(configure(str(tmp_path), ["csv"]))
    for _ in range(2):
        model.learn(128, reset_num_timesteps=False)
    model.logger.close()
    run = read_run(tmp_path)
    run.contents.scalars["time/time_elapsed"].values[:] = array("d", [2.0, 4.0, 3.0, 6.0])  # as of a slower machine
    found = outcome(run, "run")
    assert (found.steps, found.seconds, found.speed) == (256, 10.0, 25.6)


def test_the_speed_of_a_run_that_goes_on_in_another_log_is_that_of_this_log(tmp_path):
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=1, device="cpu")
    for folder in ("first", "second"):
        model.set_logger(configure(str(tmp_path / folder), ["csv"]))
        model.learn(192, reset_num_timesteps=False)
        model.logger.close()
    run = read_run(tmp_path / "second")
    for clock, speed in (([2.0, 4.0, 6.0], 32.0), ([2.0, 2.0, 2.0], 192.0)):  # whole seconds, which may be one
        run.contents.scalars["time/time_elapsed"].values[:] = array("d", clock)
        again = Run(run.path, run.format, run.contents)
        assert outcome(again, "run").speed == speed, "steps 256 to 384"


def test_the_time_since_the_first_row_is_that_of_the_steps_since_then():
    run = run_of({"train/reward": [(1000, 1.0), (1100, 2.0)], "time/env_steps": [(1000, 1000.0), (1100, 1100.0)]})
    for column in run.contents.scalars.values():
        column.wall_times[:] = array("d", [1_700_000_000.0, 1_700_000_050.0])
    assert outcome(run, "run").speed == 2.0


def test_equal_returns_have_no_highest():
    outcomes = [outcome(learned(), name) for name in ("a", "b")]
    assert "The mean return of the last tenth was 475 in each." in describe_runs(outcomes, [], None)
    outcomes[1] = outcome(run_of({"mine": [(0, 1.0)]}), "b")
    assert "The mean return of the last tenth was 475 in a." in describe_runs(outcomes, [], None)
