"""The policy's update, its entropy and its actions."""

import numpy as np
import pytest

from puffer_callbacks.health import Diagnosis, Facts, diagnose
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged, step_at

TWO = Facts(num_actions=2, clip_range=0.2)
LOG2 = np.log(2)


def test_ratio_that_is_not_one() -> None:
    kl = {"diagnostics__approx_kl": constant(0.01), "diagnostics__clip_fraction": constant(0.1)}
    finding = found("ratio_not_one", TWO, diagnostics__first_kl=step_at(30_000, 0, 0.005), **kl)
    assert finding is not None
    assert 30_000 <= finding.first_step <= 31_000
    assert found("ratio_not_one", TWO, diagnostics__first_kl=constant(1e-8), **kl) is None


def test_ratio_causes_follow_what_else_is_seen() -> None:
    first, kl = constant(0.01), constant(0.01)
    series = {"diagnostics__first_kl": first, "diagnostics__approx_kl": kl, "train__reward": FLAT}
    wrong = found("ratio_not_one", TWO, **series)
    dropout = found("ratio_not_one", Facts(has_dropout=True), **series)
    stale = found("ratio_not_one", TWO, **series, diagnostics__log_prob_error=constant(0.1))
    drift = found("ratio_not_one", TWO, diagnostics__log_prob_error=constant(1.0), diagnostics__approx_kl=constant(0.5),
                  diagnostics__clip_fraction=constant(0))  # fmt: skip
    assert wrong and dropout and stale and drift
    assert wrong.causes[0].startswith("the update takes log-probabilities of other actions")
    assert "dropout" in dropout.causes[0]
    assert "earlier policy" in stale.causes[0]
    assert drift.causes[0].startswith("the sampler acts by other weights")


def test_clip_fraction_zero_while_the_policy_moves() -> None:
    clip = {"diagnostics__clip_fraction": constant(0)}
    assert found("clip_fraction_zero", TWO, **clip, diagnostics__approx_kl=constant(0.1)) is not None
    assert found("clip_fraction_zero", TWO, **clip, diagnostics__approx_kl=constant(0.001)) is None


def test_kl_is_judged_by_the_clip_range() -> None:
    kl = step_at(60_000, 0.01, 0.3)
    finding = found("kl_large", TWO, diagnostics__approx_kl=kl)
    assert finding is not None
    assert 60_000 <= finding.first_step <= 61_000
    assert found("kl_large", Facts(clip_range=0.8), diagnostics__approx_kl=kl) is None
    assert found("kl_large", TWO, diagnostics__approx_kl=constant(0.05)) is None


def test_kl_of_exactly_zero() -> None:
    assert found("kl_zero", TWO, diagnostics__approx_kl=step_at(50_000, 0.01, 0)) is not None
    assert found("kl_zero", TWO, diagnostics__approx_kl=step_at(95_000, 0.01, 0)) is None
    assert found("kl_zero", TWO, diagnostics__approx_kl=constant(1e-9)) is None


def test_a_kl_of_zero_is_none_where_the_learning_rate_begins_at_zero() -> None:
    def begun(step: int) -> Diagnosis:
        late = {"diagnostics__approx_kl": step_at(step, 0, 0.01), "train__learning_rate": step_at(step, 0, 1e-3)}
        return judged(TWO, **late)

    assert begun(20_000).not_judged["kl_zero"] == "the learning rate is 0 so far"
    rules = [(finding.rule, finding.consequences[0].rule) for finding in begun(200_000).findings]
    assert rules == [("learning_rate_zero", "kl_zero")]


def test_a_kl_measured_before_the_only_step_of_an_update_is_not_judged() -> None:
    kl = {"diagnostics__approx_kl": constant(0)}
    moving = {"diagnostics__weight_change__actor": constant(1e-3), "diagnostics__weight_change__critic": constant(1e-3)}
    assert "the policy changes" in judged(TWO, **kl, **moving).not_judged["kl_zero"]
    assert found("kl_zero", TWO, **kl, **moving | {"diagnostics__weight_change__actor": constant(0)}) is not None
    assert found("kl_zero", TWO, **kl, diagnostics__weight_change__critic=constant(1e-3)) is not None


def test_falling_entropy_is_a_collapse_only_where_the_return_stands_still() -> None:
    entropy = step_at(30_000, 0.6, 0.01)
    finding = found("entropy_collapsed", TWO, train__entropy=entropy, train__reward=FLAT)
    assert finding is not None
    assert 30_000 <= finding.first_step <= 33_000
    assert found("entropy_collapsed", TWO, train__entropy=entropy, train__reward=RISING) is None


def test_entropy_at_its_maximum_is_judged_by_the_number_of_actions() -> None:
    entropy = constant(0.99 * LOG2)
    assert found("entropy_high", TWO, train__entropy=entropy, train__reward=FLAT) is not None
    assert found("entropy_high", TWO, train__entropy=entropy, train__reward=RISING) is None
    assert found("entropy_high", Facts(num_actions=4), train__entropy=entropy, train__reward=FLAT) is None


def test_entropy_of_a_continuous_policy_may_change_its_sign() -> None:
    facts = Facts(action_dimensions=1)
    assert found("entropy_grows", facts, train__entropy=np.linspace(1.4, -1, 100), train__reward=FLAT) is None
    growing = found("entropy_grows", facts, train__entropy=np.linspace(1.4, 4, 100), train__reward=FLAT)
    assert growing is not None
    assert found("entropy_grows", facts, train__entropy=np.linspace(1.4, 4, 100), train__reward=RISING) is None
    assert found("entropy_grows", facts, train__entropy=np.linspace(1.4, 1e9, 100), train__reward=FLAT) is not None


def test_updates_against_the_advantages() -> None:
    kl = constant(0.01)
    noise = 0.05 * np.sin(np.arange(100.0))
    finding = found("advantage_unused", diagnostics__advantage_alignment=noise - 0.15, diagnostics__approx_kl=kl)
    assert finding is not None
    assert finding.causes[0].startswith("the sign of the advantages")
    assert found("advantage_unused", diagnostics__advantage_alignment=noise + 0.15, diagnostics__approx_kl=kl) is None


def test_updates_without_regard_to_the_advantages() -> None:
    swings = 0.3 * np.sin(np.arange(100.0))
    finding = found("advantage_unused", diagnostics__advantage_alignment=swings, diagnostics__approx_kl=constant(0.01))
    assert finding is not None
    assert finding.causes[0].startswith("advantages belong to other steps")
    small = 0.02 * np.sin(np.arange(100.0))
    assert (
        found("advantage_unused", diagnostics__advantage_alignment=small, diagnostics__approx_kl=constant(0.01)) is None
    )


@pytest.mark.parametrize(("looks", "is_news"), [(6, False), (10, True)])
def test_a_correlation_about_0_over_a_few_updates_is_no_news(looks: int, is_news: bool) -> None:
    """As in the first updates on MountainCar; one that is clearly below 0 is news after six."""
    steps, swings = np.arange(looks) * 1000, np.tile([0.3, -0.3], looks)[:looks]
    kl, rewards = (steps, np.full(looks, 0.01)), (STEPS, FLAT)
    logged = {"diagnostics/approx_kl": kl, "train/reward": rewards}
    unrelated = diagnose(logged | {"diagnostics/advantage_alignment": (steps, swings)})
    assert ("advantage_unused" in {finding.rule for finding in unrelated.findings}) == is_news
    against = diagnose(logged | {"diagnostics/advantage_alignment": (steps, 0.1 * swings - 0.15)})
    assert "advantage_unused" in {finding.rule for finding in against.findings}


def test_a_correlation_that_swings_between_rollouts_of_a_few_steps_is_no_news() -> None:
    """As of A2C's five steps: by chance alone the mean of ten such correlations is off by 0.16."""
    swings = np.tile([0.8, -0.28], 5)
    kl = (steps := np.arange(10) * 5, np.full(10, 0.01))
    few = diagnose({"diagnostics/approx_kl": kl, "diagnostics/advantage_alignment": (steps, swings)})
    assert few.findings == () and "advantage_unused" in few.judged
    about_0 = (steps, 0.5 * (swings - 0.26))
    steady = diagnose({"diagnostics/approx_kl": kl, "diagnostics/advantage_alignment": about_0})
    assert [finding.rule for finding in steady.findings] == ["advantage_unused"]


def test_policy_that_is_blind() -> None:
    kl, dominant = constant(0.01), constant(0.6)
    rest = {"diagnostics__approx_kl": kl, "diagnostics__dominant_action_fraction": dominant}
    assert found("policy_blind", TWO, diagnostics__log_prob_spread=constant(0), **rest) is not None
    assert found("policy_blind", TWO, diagnostics__log_prob_spread=constant(0.3), **rest) is None


def test_saturated_actions_are_fine_where_the_return_rises() -> None:
    saturated = {"diagnostics__saturated_action_fraction": constant(0.97)}
    assert found("actions_saturated", **saturated, train__reward=FLAT) is not None
    assert found("actions_saturated", **saturated, train__reward=RISING) is None


def test_one_action_from_the_start_and_later_have_other_causes() -> None:
    rest = {"train__reward": FLAT, "train__entropy": constant(0.1)}
    early = found("action_dominates", diagnostics__dominant_action_fraction=constant(1), **rest)
    late = found("action_dominates", diagnostics__dominant_action_fraction=step_at(40_000, 0.5, 1), **rest)
    assert early and late
    assert early.first_step == STEPS[0]
    assert 40_000 <= late.first_step <= 43_000
    assert early.causes[0] != late.causes[0]


def test_the_share_of_an_action_that_is_named_is_above_the_threshold() -> None:
    """Looks vary about their median: the last one may lie below."""
    fraction = np.where(np.arange(100) % 5 == 4, 0.875, 1.0)
    finding = found("action_dominates", diagnostics__dominant_action_fraction=fraction, train__reward=FLAT)
    assert finding is not None
    assert "at 100% of all steps" in finding.message
    assert [(number.value, number.step) for number in finding.evidence] == [(1.0, 99_000)]


def test_causes_of_one_action_are_those_that_the_algorithm_can_have() -> None:
    """An algorithm that acts by values has no entropy bonus and no advantages."""
    dominant = {"diagnostics__dominant_action_fraction": step_at(40_000, 0.5, 1), "train__reward": FLAT}
    by_values = found("action_dominates", **dominant, train__loss=constant(1.0))
    by_policy = found("action_dominates", **dominant, train__entropy=constant(0.1))
    assert by_values and by_policy
    assert not any("entropy" in cause or "advantages" in cause for cause in by_values.causes)
    assert any("entropy" in cause for cause in by_policy.causes)


def test_exploration_rate_and_temperature() -> None:
    assert found("exploration_stays", rollout__exploration_rate=constant(1.0)) is not None
    assert found("exploration_stays", rollout__exploration_rate=np.linspace(1, 0.05, 100)) is None
    scale = {"diagnostics__reward_scale": constant(5.0), "train__reward": FLAT}
    assert found("temperature_high", train__ent_coef=constant(20.0), **scale) is not None
    assert found("temperature_high", train__ent_coef=constant(0.2), **scale) is None
