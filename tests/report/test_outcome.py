import math

import pytest

from puffer_callbacks.report.outcome import outcome
from puffer_callbacks.report.summary import describe_run, describe_runs, duration
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
    assert describe_run(outcome(learned(), "exp1"), [finding()]) == (
        "The run trained on CartPole-v1 for 1k environment steps in 50 s, at 20 steps per second. "
        "The mean return rose from 25 over the first tenth of the run to 475 over the last; "
        "the best was 500, at step 1k. Episodes took 200 steps at the end. "
        "Health rules found 1 critical: entropy collapse."
    )


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
    text = describe_run(outcome(learned(), "run"), [])
    assert text.endswith("The health rules found nothing.")
    assert "healthy" not in text


def test_the_paragraph_of_several_runs():
    outcomes = [outcome(learned(last), name) for last, name in ((500.0, "a"), (100.0, "b"))]
    assert describe_runs(outcomes, ["learning_rate"], [[finding()], []]) == (
        "2 runs on CartPole-v1, which differ in learning_rate. The mean return of the last tenth was highest in a "
        "(475) and lowest in b (95). Health rules found 1 critical: entropy collapse."
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (42.4, "42 s"), (59.9, "1 min 0 s"), (3599.8, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
