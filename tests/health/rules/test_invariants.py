"""Invariants: each fires from its onset on, and not on what only resembles it."""

import numpy as np
import pytest

from puffer_callbacks.health import Diagnosis, Facts, diagnose
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged, step_at


def test_first_nonfinite_value_on_the_way_is_named() -> None:
    loss = step_at(50_000, 1.0, np.nan)
    counts = {
        "nonfinite__rollout__observations": step_at(50_000, 0, 1),
        "nonfinite__train__loss": step_at(50_000, 0, 4),
    }
    finding = found("nonfinite_values", train__loss=loss, gradient_norm__total=step_at(51_000, 1.0, np.nan), **counts)
    assert finding is not None
    assert (finding.first_step, finding.severity) == (50_000, "critical")
    assert "an observation" in finding.message
    assert finding.causes[0].startswith("the environment returned an observation")
    (number,) = finding.evidence
    assert (number.tag, number.value, number.step) == ("nonfinite/rollout/observations", 1.0, 50_000)


def test_nonfinite_loss_without_a_nonfinite_observation_is_the_loss() -> None:
    finding = found("nonfinite_values", train__loss=step_at(30_000, 1.0, np.inf), train__reward=FLAT)
    assert finding is not None
    assert finding.first_step == 30_000
    assert "term of the loss" in finding.message


def test_infinite_noise_scale_is_no_finding() -> None:
    assert found("nonfinite_values", gradient_noise_scale=constant(np.inf), train__reward=RISING) is None


def test_run_that_an_exception_about_nan_ended() -> None:
    error = (
        "ValueError: Expected parameter loc to satisfy the constraint Real(), but found invalid values: tensor([nan])"
    )
    finding = found("nonfinite_values", Facts(error=error), train__loss=constant(1.0))
    assert finding is not None
    assert finding.first_step == 100_000
    assert found("nonfinite_values", Facts(error="KeyError: 'financial'"), train__loss=constant(1.0)) is None


def test_series_that_vanishes() -> None:
    finding = found("series_vanished", losses__value=constant(1.0)[:40], train__reward=RISING)
    assert finding is not None
    assert finding.first_step == 40_000
    assert found("series_vanished", losses__value=constant(1.0)[:95], train__reward=RISING) is None


def test_learning_rate_zero_in_the_middle_but_not_at_a_schedules_end() -> None:
    finding = found("learning_rate_zero", train__learning_rate=step_at(40_000, 1e-3, 0.0))
    assert finding is not None
    assert finding.first_step == 40_000
    assert found("learning_rate_zero", train__learning_rate=np.linspace(1e-3, 0, 100)) is None


def test_schedule_not_applied() -> None:
    facts = Facts(anneal_learning_rate=True, learning_rate=1e-3)
    assert found("schedule_not_applied", facts, train__learning_rate=constant(1e-3)) is not None
    assert found("schedule_not_applied", facts, train__learning_rate=np.linspace(1e-3, 1e-5, 100)) is None
    assert found("schedule_not_applied", Facts(learning_rate=1e-3), train__learning_rate=constant(1e-3)) is None


def test_learning_rate_other_than_configured() -> None:
    finding = found("schedule_not_applied", Facts(learning_rate=1e-3), train__learning_rate=constant(0.1))
    assert finding is not None
    assert finding.causes[0] == "the learning rate is too high"


def test_a_rate_is_not_held_against_its_configuration_where_the_log_begins_late() -> None:
    late = {"train/learning_rate": (STEPS[50:], np.full(50, 1e-3))}
    diagnosis = diagnose(late, Facts(learning_rate=0.1))
    assert diagnosis.not_judged["schedule_not_applied"] == "needs the beginning of the run"
    assert diagnosis.findings == ()


def test_repeated_rollouts() -> None:
    finding = found("data_repeated", diagnostics__repeated_rollout=step_at(30_000, 0, 1))
    assert finding is not None
    assert finding.first_step == 30_000
    once = np.where(STEPS == 30_000, 1.0, 0.0)
    assert found("data_repeated", diagnostics__repeated_rollout=once) is None


def test_minibatches_that_leave_a_part_out() -> None:
    assert found("minibatches_repeat", diagnostics__batch_coverage=constant(0.25)) is not None
    assert found("minibatches_repeat", diagnostics__batch_coverage=constant(1.0)) is None
    assert found("minibatches_repeat", Facts(target_kl=0.01), diagnostics__batch_coverage=constant(0.5)) is None


def test_advantages_that_do_not_follow_from_rewards_and_values() -> None:
    assert found("advantages_inconsistent", diagnostics__advantage_fit=constant(0.01)) is not None
    assert found("advantages_inconsistent", diagnostics__advantage_fit=constant(0.999)) is None


def test_advantages_of_the_wrong_sign() -> None:
    assert found("advantage_sign", diagnostics__advantage_sign=constant(-1)) is not None
    assert found("advantage_sign", diagnostics__advantage_sign=constant(1)) is None


def test_missing_mask_at_dones() -> None:
    assert found("done_mask", diagnostics__leak_fraction=constant(1)) is not None
    assert found("done_mask", diagnostics__leak_fraction=constant(0.1)) is None


def test_constant_observations() -> None:
    finding = found("observation_constant", diagnostics__observation_constant_fraction=step_at(20_000, 0.25, 1))
    assert finding is not None
    assert finding.first_step == 20_000
    assert found("observation_constant", diagnostics__observation_constant_fraction=constant(0.9)) is None


def test_observations_that_change_with_episodes_alone() -> None:
    """Between two ends of an episode nothing changes; at an end and after it something does."""
    series = {
        "diagnostics__observation_constant_fraction": constant(0),
        "diagnostics__observation_repeat_fraction": constant(0.8),
        "diagnostics__done_fraction": constant(0.1),
    }
    assert found("observation_constant", **series, train__reward=FLAT) is not None
    assert found("observation_constant", **series, train__reward=RISING) is None
    series["diagnostics__done_fraction"] = constant(0.01)
    assert found("observation_constant", **series, train__reward=FLAT) is None


def test_observations_one_step_late() -> None:
    assert found("observation_late", diagnostics__reset_delay_fraction=constant(1)) is not None
    assert found("observation_late", diagnostics__reset_delay_fraction=constant(0.3)) is None


def test_reset_steps_of_next_step_autoreset_are_worth_knowing_and_no_trouble() -> None:
    series = {"diagnostics__reset_delay_fraction": constant(0), "diagnostics__reset_step_fraction": constant(1)}
    finding = found("reset_steps_stored", **series)
    assert finding is not None
    assert finding.severity == "info"
    assert found("observation_late", **series) is None


def test_episodes_that_ended_between_two_looks() -> None:
    """A live run looks at ever fewer rollouts: one that learned after the last look showed no end."""
    looks, rows = np.array([512, 1024, 1536, 2048, 3072, 4096, 8192, 16384]), np.arange(4096, 24576, 4096)
    lengths = np.array([500.0, 500.0, 500.0, 500.0, 300.0])  # reported at 20,480 for the first time
    series = {"diagnostics/done_fraction": (looks, np.zeros(8)), "train/episode_length": (rows, lengths)}
    diagnosis = diagnose(series, Facts(max_episode_steps=500))
    assert "episodes_never_end" in diagnosis.judged
    assert not diagnosis.findings


def test_rewards_that_are_always_zero() -> None:
    assert found("reward_zero", diagnostics__nonzero_reward_fraction=constant(0)) is not None
    assert found("reward_zero", diagnostics__nonzero_reward_fraction=step_at(30_000, 0, 0.01)) is None
    assert found("reward_zero", train__reward=constant(0)) is not None


def test_episodes_that_never_end() -> None:
    facts = Facts(max_episode_steps=500, num_envs=8)
    assert found("episodes_never_end", facts, diagnostics__done_fraction=constant(0)) is not None
    assert found("episodes_never_end", facts, diagnostics__done_fraction=step_at(5_000, 0, 0.01)) is None
    # 100,000 steps of 1,000 environments are 100 each, too few to tell
    many = Facts(max_episode_steps=500, num_envs=1000)
    assert found("episodes_never_end", many, diagnostics__done_fraction=constant(0)) is None


def test_episodes_whose_ends_are_reported_but_not_marked() -> None:
    facts, none = Facts(max_episode_steps=500, num_envs=8), constant(0)
    finding = found("episodes_never_end", facts, diagnostics__done_fraction=none, train__episode_length=RISING)
    assert finding is not None
    assert "no step is marked" in finding.message
    at_limit = constant(500)  # all cut there, as Pendulum's are: who bootstraps at the limit marks no end
    assert found("episodes_never_end", facts, diagnostics__done_fraction=none, train__episode_length=at_limit) is None


def planned(total: int, rollout_steps: int, num_envs: int, *returns: float, **series: float) -> Diagnosis:
    """The diagnosis of a run with a row for each rollout: of its return, its loss, and series that do not vary."""
    steps = rollout_steps * num_envs * np.arange(1, len(returns) + 1)
    rows = {tag.replace("__", "/"): (steps, np.full(len(steps), value)) for tag, value in series.items()}
    facts = Facts(total_steps=total, rollout_steps=rollout_steps, num_envs=num_envs, num_actions=2)
    loss = {"train/loss": (steps, np.ones(len(steps)))}
    return diagnose({"train/reward": (steps, np.array(returns)), **loss, **rows}, facts)


def test_a_plan_with_too_few_updates() -> None:
    """As muPRL's mutants: 3,072 steps a rollout, and a tenth of the training."""
    (long,) = planned(60_000, 3072, 8, 22.0, 23.0).findings
    (short,) = planned(6_000, 128, 8, 22.0, 21.0, 24.0, 23.0, 22.0).findings
    assert long.rule == short.rule == "updates_few" and long.severity == short.severity == "warning"
    assert long.message == "A run of 60,000 steps, 24,576 in a rollout, has 2 updates in all, too few to learn from."
    assert short.message == "A run of 6,000 steps, 1,024 in a rollout, has 5 updates in all, too few to learn from."
    assert long.causes[0] == "rollouts are long for the length of the run"
    assert short.causes[0] == "the run is short"


def test_a_run_of_one_step_is_counted_as_one() -> None:
    (rollout,) = planned(1, 1, 1, 22.0).findings
    assert rollout.message == "A run of 1 step, 1 in a rollout, has 1 update in all, too few to learn from."
    due = Facts(total_steps=1, target_update_interval=1.0)
    assert found("updates_few", due, train__reward=FLAT).message == (
        "A run of 1 step has 1 update of its target network, which is due every step."
    )
    never = Facts(total_steps=1_000, target_update_interval=10_000)
    assert "has no update of its target network, which is due every 10,000 steps." in (
        found("updates_few", never, train__reward=FLAT).message
    )


def test_a_short_run_whose_return_has_risen_is_no_warning() -> None:
    """As Stable-Baselines3's first example: 10,000 steps of PPO on CartPole."""
    (finding,) = planned(10_000, 2048, 1, 22.0, 28.0, 45.0, 64.0).findings
    assert finding.severity == "info" and "4 updates in all; the return has risen" in finding.message
    (worse,) = planned(10_000, 2048, 1, -500.0, -480.0, -490.0).findings
    assert worse.severity == "warning"


def test_a_short_run_hides_no_trouble() -> None:
    diagnosis = planned(9_000, 1000, 1, *np.linspace(20, 40, 7), diagnostics__approx_kl=50.0)
    assert {finding.rule: finding.severity for finding in diagnosis.findings} == {
        "kl_large": "warning",
        "updates_few": "info",
    }


def test_a_plan_with_enough_updates_or_a_run_that_learned() -> None:
    assert not planned(10_000, 1000, 1, *FLAT[:10]).findings
    assert planned(9_999, 1000, 1, *FLAT[:9]).findings
    assert not planned(9_999, 1000, 1, *np.linspace(20, 400, 9)).findings


def test_a_setting_of_that_name_that_is_no_rollout() -> None:
    facts = Facts(total_steps=100_000, rollout_steps=100_000, num_envs=1)
    assert "updates_few" in judged(facts, train__reward=FLAT).not_judged
    assert "updates_few" in judged(Facts(total_steps=9_999), train__reward=FLAT).not_judged


def test_no_updates() -> None:
    facts = Facts(total_steps=100_000)
    assert found("no_updates", facts, train__reward=FLAT) is not None
    assert found("no_updates", facts, train__reward=FLAT, train__loss=constant(1.0)) is None


def test_gradient_clipping_that_is_not_applied() -> None:
    facts = Facts(max_grad_norm=0.5)
    assert found("clipping_not_applied", facts, gradient_norm__clipped=constant(3.0)) is not None
    assert found("clipping_not_applied", facts, gradient_norm__clipped=constant(0.5)) is None
    no_limit = Facts(max_grad_norm=0.0)  # as transformers and SheepRL write it
    assert "clipping_not_applied" in judged(no_limit, gradient_norm__clipped=constant(3.0)).not_judged


def test_gradients_that_are_not_zeroed() -> None:
    tags = ("old_gradients__critic_dot_bias", "old_gradients__actor_dot_bias")
    both = dict.fromkeys(tags, constant(0.0))
    finding = found("gradients_not_zeroed", **both | {tags[0]: step_at(40_000, 0, 1)})
    assert finding is not None and (finding.severity, finding.first_step) == ("critical", 40_000)
    assert "critic.bias" in finding.message and "actor" not in finding.message
    assert found("gradients_not_zeroed", **both) is None
    assert found("gradients_not_zeroed", **{tags[0]: step_at(99_000, 0, 1)}) is None  # twice may be meant so
    assert found("gradients_not_zeroed", **{tags[0]: step_at(99_000, 1, 0)}) is None
    few = judged(**{tags[0]: constant(1.0)[:2]}).not_judged["gradients_not_zeroed"]
    assert few.startswith("needs 3 points")


def test_a_policy_that_rests() -> None:
    """Its weights change, and its log-probabilities do not."""
    rows = {
        "diagnostics__log_prob_change": constant(2e-7),
        "diagnostics__weight_change__actor": constant(1e-4),
        "diagnostics__weight_change__critic": constant(0.1),
        "train__learning_rate": constant(1e-3),
        "train__entropy": constant(0.69),
    }
    cancelled = rows | {"train__policy_loss": constant(3e-9)}
    finding = found("policy_rests", Facts(num_actions=2), **cancelled)
    assert finding is not None and finding.severity == "critical"
    assert "broadcast" in finding.causes[0]
    alone = found("policy_rests", **rows)
    assert alone is not None and alone.causes[0] == "the actor's weights are not trained"
    slow = found("policy_rests", **cancelled | {"train__learning_rate": constant(1e-9)})
    assert slow is not None and slow.causes[0] == "the learning rate is too low"


@pytest.mark.parametrize(
    "sound",
    [
        {"diagnostics__log_prob_change": step_at(3_000, 2e-7, 0.1)},
        {"diagnostics__log_prob_change": step_at(3_000, 0.1, 2e-7)},  # a run that ends well rests
        {"diagnostics__weight_change__actor": step_at(50_000, 0.0, 0.1)},  # frozen at first
        {"diagnostics__weight_change__encoder": constant(0.0)},  # frozen for good
        {"train__entropy": constant(1e-4)},  # certain from the beginning, as one that was trained before
    ],
)
def test_a_policy_that_may_rest(sound: dict[str, np.ndarray]) -> None:
    rows = {
        "diagnostics__log_prob_change": constant(2e-7),
        "diagnostics__weight_change__actor": constant(1e-4),
        "train__entropy": constant(0.69),
    }
    facts = Facts(num_actions=2)
    assert found("policy_rests", facts, **rows) is not None
    diagnosis = judged(facts, **rows | sound)
    assert "policy_rests" not in {finding.rule for finding in diagnosis.findings}


def test_a_policy_loss_that_cancels_out() -> None:
    """The policy is moved by the entropy bonus, or by the critic in a trunk that both share."""
    rows = {"diagnostics__log_prob_change": constant(0.02), "diagnostics__largest_policy_loss": constant(5e-8)}
    facts = Facts(normalizes_advantages=True)
    finding = found("policy_loss_cancels", facts, **rows)
    assert finding is not None and finding.severity == "critical"
    assert "broadcast" in finding.causes[0]
    by_chance = np.where(STEPS == 50_000, 2e-3, 5e-8)
    assert found("policy_loss_cancels", facts, **rows | {"diagnostics__largest_policy_loss": by_chance}) is None
    assert "policy_loss_cancels" in judged(**rows).not_judged  # raw advantages may be small
    assert found("policy_loss_cancels", facts, **rows, diagnostics__approx_kl=constant(1e-4)) is not None
    ratio_of_1 = judged(facts, **rows, diagnostics__approx_kl=constant(0.0))
    assert "policy_loss_cancels" in ratio_of_1.not_judged
    for number in ({"diagnostics__log_prob_change": 1e-6}, {"diagnostics__largest_policy_loss": 0.0}):
        unknown = rows | {tag: constant(value) for tag, value in number.items()}
        assert "policy_loss_cancels" in judged(facts, **unknown).not_judged


@pytest.mark.parametrize("actions", [2, 3, 6])
def test_double_softmax_ends_at_its_limit(actions: int) -> None:
    bound = np.e / (np.e + actions - 1)
    facts = Facts(num_actions=actions)
    rising = np.minimum(np.linspace(1 / actions, 2 * bound, 100), 0.9995 * bound)
    assert found("double_softmax", facts, diagnostics__max_probability=rising) is not None
    beyond = np.linspace(1 / actions, 1.0, 100)
    assert found("double_softmax", facts, diagnostics__max_probability=beyond) is None
    assert found("double_softmax", facts, diagnostics__max_probability=constant(1 / actions)) is None


def test_every_rule_says_why_it_was_not_judged() -> None:
    diagnosis = judged(train__reward=RISING[:3])
    assert not diagnosis.findings
    assert all(reason.startswith("needs ") for reason in diagnosis.not_judged.values())
    assert set(diagnosis.judged).isdisjoint(diagnosis.not_judged)
