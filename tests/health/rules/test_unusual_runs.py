"""Sound runs that are unusual: what resembles a fault there is none, and the fault itself is still found."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from puffer_callbacks.health import Facts
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged, step_at

TWO = Facts(num_actions=2)
RNG = np.random.default_rng(0)
POLICY_LOSS, VALUE_LOSS = 0.01 * RNG.standard_normal(100), np.geomspace(1000, 200, 100)
ENTROPY = 1.4 * np.exp(-np.arange(100) / 30)


def losses(total: Any) -> dict[str, Any]:
    terms = {"train__policy_loss": POLICY_LOSS, "train__value_loss": VALUE_LOSS, "train__entropy": ENTROPY}
    return {**terms, "train__loss": total}


def test_an_auxiliary_loss_that_falls_as_entropy_does_is_no_entropy_bonus() -> None:
    bonus = 0.01 * ENTROPY
    auxiliary = 0.2 * np.exp(-np.arange(100) / 24)
    assert found("loss_composition", **losses(POLICY_LOSS + 0.5 * VALUE_LOSS - bonus + auxiliary)) is None
    finding = found("loss_composition", **losses(POLICY_LOSS + 0.5 * VALUE_LOSS + bonus))
    assert finding is not None
    assert "rewards certainty" in finding.message


def test_a_critic_with_a_loss_of_its_own_does_not_miss_in_that_of_the_actor() -> None:
    actors = losses(POLICY_LOSS - 0.01 * ENTROPY)
    for trained in ("gradient_norm__critic", "diagnostics__weight_change__critic", "diagnostics__explained_variance"):
        reason = judged(**actors, **{trained: constant(0.9)}).not_judged["loss_composition"]
        assert "another loss" in reason
        assert found("loss_composition", **actors, **{trained: constant(0.0)}) is not None


def at_steps(values: Any, steps: list[int], value: float) -> Any:
    return np.where(np.isin(STEPS, steps), value, values)


def test_a_metric_without_a_value_is_no_term_of_the_loss() -> None:
    gaps = np.where(np.arange(100) % 3 == 0, np.nan, 0.5)
    metrics = {"train__recall": gaps, "nonfinite__train__recall": np.arange(100.0)}
    for trained in ({"train__loss": constant(1.0)}, {}):
        assert found("nonfinite_values", **metrics, **trained) is None
    finding = found("nonfinite_values", **metrics, train__loss=step_at(50_000, 1.0, np.nan))
    assert finding is not None
    assert finding.first_step == 50_000
    assert "a term of the loss (train/loss)" in finding.message


def test_a_mean_return_before_the_first_episode_is_no_trouble() -> None:
    series = {"train__reward": at_steps(RISING, [1_000, 2_000, 3_000], np.nan), "train__loss": constant(1.0)}
    assert found("nonfinite_values", **series) is None


def test_updates_that_a_loss_scaler_skips() -> None:
    overflows = at_steps(constant(1.0), [20_000, 21_000, 70_000], np.inf)
    assert found("nonfinite_values", gradient_norm__total=overflows, train__loss=constant(1.0)) is None
    counted = {"train__loss": constant(1.0), "nonfinite__train__loss": step_at(40_000, 0, 1)}
    assert found("nonfinite_values", **counted) is None
    for many in (STEPS[50:].tolist(), STEPS[::4].tolist()):
        assert found("nonfinite_values", gradient_norm__total=at_steps(overflows, many, np.nan)) is not None


def test_a_loss_that_became_nan_just_now_is_critical() -> None:
    finding = found("nonfinite_values", train__loss=step_at(100_000, 1.0, np.nan), gradient_norm__total=constant(1.0))
    assert finding is not None
    assert finding.severity == "critical"


def test_a_field_of_a_batch_is_found_though_no_series_has_its_name() -> None:
    assert found("nonfinite_values", nonfinite__train__pixels=np.array([1.0]), train__loss=np.array([1.0])) is not None


def test_a_term_of_the_first_phase_is_no_series_that_vanished() -> None:
    phase = {"train__loss_warmup": constant(1.0)[:40], "losses__warmup": constant(1.0)[:40]}
    assert found("series_vanished", **phase, train__loss=constant(1.0)) is None
    assert found("series_vanished", **phase, train__loss=constant(1.0)[:45], train__reward=RISING) is not None


def test_a_large_kl_needs_a_return_that_does_not_rise_or_to_be_far_too_large() -> None:
    far = {"diagnostics__approx_kl": constant(0.4)}
    assert found("kl_large", **far, train__reward=FLAT) is not None
    assert found("kl_large", **far, train__reward=RISING) is None
    assert found("kl_large", diagnostics__approx_kl=constant(5.0), train__reward=RISING) is not None


def test_a_kl_of_zero_where_the_policy_is_seen_to_change() -> None:
    zero = {"diagnostics__approx_kl": constant(0.0), "losses__policy": constant(0.1)}
    moving = np.linspace(0.69, 0.2, 100)
    for sign in ({"train__entropy": moving}, {"train__reward": RISING}):
        assert "measured before" in judged(**zero, **sign).not_judged["kl_zero"]
    still = 0.69 + 0.01 * np.sin(np.arange(100.0))
    assert found("kl_zero", **zero, train__entropy=still, train__reward=FLAT) is not None
    unmoved = {"diagnostics__weight_change__actor": constant(0.0)}
    assert found("kl_zero", **zero, **unmoved, train__entropy=moving) is not None


def test_large_rewards_need_a_return_that_does_not_rise_or_to_be_far_too_large() -> None:
    large = {"diagnostics__reward_scale": constant(900.0)}
    assert found("reward_scale_large", **large, train__reward=FLAT) is not None
    assert found("reward_scale_large", **large, train__reward=RISING) is None
    early = judged(Facts(total_steps=1_000_000), **large, train__reward=FLAT).not_judged["reward_scale_large"]
    assert early == "needs 50% of the run's 1000000 steps"
    assert found("reward_scale_large", diagnostics__reward_scale=constant(1e4), train__reward=RISING) is not None


def test_advantages_of_another_estimator_are_no_alarm_where_the_return_rises_by_far() -> None:
    loose = {"diagnostics__advantage_fit": constant(0.6)}
    alarm, note = (found("advantages_inconsistent", **loose, train__reward=each) for each in (FLAT, RISING))
    assert alarm and note
    assert (alarm.severity, note.severity) == ("critical", "info")
    barely = found("advantages_inconsistent", **loose, train__reward=FLAT + np.linspace(0, 6, 100))
    assert barely is not None
    assert barely.severity == "critical"


def test_a_table_that_learns_has_no_loss_and_no_gradient() -> None:
    planned = Facts(total_steps=100_000)
    assert "the return rises" in judged(planned, train__reward=RISING).not_judged["no_updates"]
    assert found("no_updates", planned, train__reward=FLAT) is not None


def test_indices_of_an_embedding_are_large() -> None:
    tokens = {"diagnostics__observation_scale": constant(17_000.0)}
    assert found("observation_scale", Facts(has_embedding=True), **tokens, train__reward=RISING) is None
    assert found("observation_scale", **tokens, train__reward=RISING) is not None
    assert found("observation_scale", Facts(has_embedding=True), **tokens, train__reward=FLAT) is not None


@pytest.mark.parametrize("first", [np.array([0.0, 60, 120, 300]), np.array([470.0, 499])])
def test_a_run_that_is_solved_at_once_and_stays_at_its_maximum(first: Any) -> None:
    solved = 500 - np.abs(np.sin(np.arange(100.0)))
    solved[: len(first)] = first
    assert found("return_stalled", train__reward=solved) is None
    assert found("entropy_collapsed", TWO, train__reward=solved, train__entropy=constant(0.01)) is None


@pytest.mark.parametrize("lucky", [[], [1_000], [50_000, 60_000]])
def test_a_run_that_stays_at_its_minimum_has_stalled(lucky: list[int]) -> None:
    stuck = at_steps(constant(-200.0), lucky, -150.0)
    assert found("return_stalled", train__reward=stuck) is not None
    assert found("entropy_collapsed", TWO, train__reward=stuck, train__entropy=constant(0.01)) is not None
    noisy = at_steps(FLAT, [1_000], FLAT.min() - 1)
    assert found("return_stalled", train__reward=noisy) is not None


def test_a_collapse_is_told_as_it_was() -> None:
    """The entropy is low from step 6000, before thresholds are judged, to 60000, and above the threshold in the end."""
    entropy = np.where(STEPS < 6_000, 0.5, np.where(STEPS <= 60_000, 0.01 * math.log(2), 0.15))
    finding = found("entropy_collapsed", TWO, train__reward=FLAT, train__entropy=entropy)
    assert finding is not None
    assert finding.first_step == 6_000
    assert "entropy 1.0% of its maximum" in finding.message
    assert finding.evidence[0].value == pytest.approx(0.01 * math.log(2))


def test_a_critic_explains_nothing_where_nothing_is_left_to_explain() -> None:
    series = {"diagnostics__explained_variance": constant(-14.0), "train__reward": FLAT[::-1] - np.arange(100) / 4}
    assert found("critic_misfit", **series, diagnostics__return_std=step_at(55_000, 2.0, 5e-4)) is None
    assert found("critic_misfit", **series, diagnostics__return_std=step_at(55_000, 2.0, 0.5)) is not None


def test_small_steps_along_the_advantages_are_a_low_learning_rate() -> None:
    random = {"train__entropy": constant(math.log(2)), "train__reward": FLAT}
    for kl, alignment, is_first in ((1e-7, 0.4, True), (1e-2, 0.4, False), (1e-7, 0.0, False)):
        series = {"diagnostics__approx_kl": constant(kl), "diagnostics__advantage_alignment": constant(alignment)}
        finding = found("entropy_high", replace(TWO, entropy_coefficient=0.01), **random, **series)
        assert finding is not None
        assert (finding.causes[0] == "the learning rate is too low") is is_first
