"""Sound runs of other kinds than one agent's PPO from the first step on, and logs of other forms than every rollout."""

from typing import Any

import numpy as np
import pytest
import torch

from puffer_callbacks.health import Facts, diagnose
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged, step_at

PLANNED = Facts(total_steps=100_000)
TRAINS = {"train__loss": constant(1.0)}


def window_means(seed: int, width: int) -> Any:
    """Means over a window of returns that do not change, as Stable-Baselines3 logs them over 100 episodes."""
    returns = np.random.default_rng(seed).normal(100, 30, 99 + width)
    return np.convolve(returns, np.ones(width) / width, "valid")


@pytest.mark.parametrize(("width", "most"), [(5, 1), (20, 2), (50, 2), (100, 0)])
def test_a_mean_over_a_window_wanders_and_has_not_fallen(width: int, most: int) -> None:
    findings = [found("return_fell", PLANNED, train__reward=window_means(seed, width)) for seed in range(30)]
    assert sum(each is not None and each.severity == "warning" for each in findings) <= most
    falling = window_means(0, width) + np.linspace(0, -150, 100)
    assert found("return_fell", PLANNED, train__reward=falling) is not None


def test_a_solved_run_that_loses_a_hundredth_has_not_fallen() -> None:
    solved = np.where(np.arange(100) % 10 < np.linspace(3, 6, 100), 497.0, 500.0)
    assert found("return_fell", PLANNED, train__reward=solved) is None
    assert found("return_fell", PLANNED, train__reward=np.where(solved < 500, 400, 500)) is not None


def test_one_lucky_rollout_at_the_start_is_no_level_to_fall_from() -> None:
    stuck = np.append(-150.0, constant(-200)[:99])
    assert found("return_fell", PLANNED, train__reward=stuck) is None
    assert found("return_stalled", PLANNED, train__reward=stuck) is not None


def test_what_fell_to_where_it_began_has_not_stalled_as_well() -> None:
    lost = np.concatenate([constant(20)[:15], np.linspace(20, 400, 35), constant(20)[:50]])
    assert found("return_fell", train__reward=lost) is not None
    assert found("return_stalled", train__reward=lost) is None


@pytest.mark.parametrize(
    ("rule", "series"),
    [
        ("entropy_collapsed", {"train/entropy": 0.02}),
        ("action_dominates", {"diagnostics/dominant_action_fraction": 1.0}),
        ("actions_saturated", {"diagnostics/saturated_action_fraction": 1.0}),
        ("units_saturated", {"plasticity/saturated_ratio/actor.1": 0.95}),
        ("initialization_saturates", {"plasticity/saturated_ratio/actor.1": 0.95}),
    ],
)
def test_what_a_policy_has_come_to_is_no_symptom_in_the_log_after_a_resume(rule: str, series: dict[str, float]) -> None:
    values = {"train/reward": FLAT, **{tag: constant(value) for tag, value in series.items()}}
    whole, resumed = (
        diagnose({tag: (STEPS + begin, each) for tag, each in values.items()}, Facts(num_actions=2))
        for begin in (0, 100_000)
    )
    assert rule in {each.rule for root in whole.findings for each in (root, *root.consequences)}
    assert resumed.not_judged[rule] == "needs the beginning of the run"


@pytest.mark.parametrize("mean", [constant(0.5), 0.5 + 0.01 * np.sin(np.arange(100.0))])
def test_the_mean_return_of_a_game_between_equals_is_no_measure(mean: Any) -> None:
    game = {"train__reward": mean, "rollout__return_min": constant(0), "rollout__return_max": constant(1)}
    certain = Facts(num_actions=4), {"train__entropy": constant(0.01)}
    for rule in ("return_stalled", "entropy_collapsed"):
        assert "a game between equals" in judged(certain[0], **game, **certain[1]).not_judged[rule]
        lopsided = game | {"rollout__return_max": constant(3)} if np.ptp(mean) else {"train__reward": mean}
        assert found(rule, certain[0], **lopsided, **certain[1]) is not None


def test_one_ratio_that_overflows_is_no_large_kl_of_a_run_that_does_well() -> None:
    once, twice = constant(0.01), constant(0.01)
    once[50] = twice[50] = 3.0
    twice[51] = 0.5
    assert found("kl_large", diagnostics__approx_kl=once, train__reward=RISING) is None
    finding = found("kl_large", diagnostics__approx_kl=twice, train__reward=RISING)
    assert finding and finding.first_step == 51_000
    assert found("kl_large", diagnostics__approx_kl=once, train__reward=FLAT) is not None


def test_adapters_of_low_rank_begin_at_0_so_that_their_first_steps_are_large() -> None:
    falling = 0.5 / np.arange(1, 101)
    names = [f"update_ratio__q{at}_dot_lora_{part}_dot_weight" for at in range(3) for part in "AB"]
    ratios = {name: falling if "_B_" in name else constant(1e-3) for name in names}
    assert found("update_ratio_large", **ratios, train__reward=FLAT) is None
    assert found("update_ratio_large", **dict.fromkeys(names, constant(0.2)), train__reward=FLAT) is not None


def test_gradients_that_are_clipped_in_parts_or_number_by_number() -> None:
    limit, before = Facts(max_grad_norm=0.5), {"gradient_norm__total": constant(9.0)}
    apart = constant(0.5 * 2**0.5)
    assert found("clipping_not_applied", limit, gradient_norm__clipped=apart, **before) is None
    assert found("clipping_not_applied", limit, gradient_norm__clipped=apart, gradient_norm__total=apart) is not None
    assert found("clipping_not_applied", limit, gradient_norm__clipped=constant(3.0), **before) is not None
    by_norm = {"trainer/gradient_clip_val": 0.5, "trainer/gradient_clip_algorithm": "norm"}
    assert Facts.of(by_norm).max_grad_norm == 0.5
    assert Facts.of(by_norm | {"trainer/gradient_clip_algorithm": "value"}).max_grad_norm is None


def test_updates_without_a_loss_in_the_log_are_counted() -> None:
    counted = {"train__reward": FLAT, "time__optimizer_steps": np.arange(100) * 40}
    assert found("no_updates", PLANNED, **counted) is None
    assert found("no_updates", PLANNED, train__reward=FLAT, time__optimizer_steps=constant(0)) is not None


def test_a_return_that_rises_without_an_update_of_an_algorithm_that_makes_them() -> None:
    """As that of DQN does while its exploration rate falls, as a mean over few episodes and then over many."""
    none = {
        "train__reward": np.append(np.linspace(15, 22, 10), constant(22.0)[:90]),
        "time__optimizer_steps": constant(0),
    }
    dqn = Facts(total_steps=100_000, algorithm="DQN")
    assert found("no_updates", dqn, **none) is not None
    for unknown in (PLANNED, Facts(total_steps=100_000, algorithm="ARS")):
        assert "the return rises" in judged(unknown, **none).not_judged["no_updates"]


def test_a_loss_that_begins_at_0_has_not_exploded_by_becoming_small() -> None:
    grown = np.geomspace(1e-7, 1e-2, 100)
    assert found("value_explodes", train__reward=FLAT, train__loss=grown) is None
    assert found("value_explodes", train__reward=FLAT, train__loss=grown * 1e7) is not None


def test_a_temperature_that_is_learned_begins_high() -> None:
    scale, learned = {"diagnostics__reward_scale": constant(0.1), "train__reward": FLAT}, np.geomspace(1, 0.2, 100)
    early = Facts(total_steps=1_000_000)
    assert "temperature_high" in judged(early, **scale, train__ent_coef=learned).not_judged
    assert found("temperature_high", early, **scale, train__ent_coef=constant(1.0)) is not None
    assert found("temperature_high", PLANNED, **scale, train__ent_coef=learned) is not None


def test_a_bandit_has_one_observation_and_learns() -> None:
    constant_observation = {"diagnostics__observation_constant_fraction": constant(1.0)}
    note, alarm = (found("observation_constant", **constant_observation, train__reward=r) for r in (RISING, FLAT))
    assert note and alarm
    assert (note.severity, alarm.severity) == ("info", "critical")
    blind = {"diagnostics__log_prob_spread": constant(0.0), "diagnostics__approx_kl": constant(0.01)}
    bandit = judged(**constant_observation, **blind, train__reward=RISING)
    assert bandit.not_judged["policy_blind"] == "needs observations that vary, unlike a bandit's"
    assert found("policy_blind", **blind, train__reward=RISING) is not None


def test_large_rewards_do_not_matter_where_advantages_are_normalized_and_no_critic_learns() -> None:
    normalized, large = Facts(normalizes_advantages=True), {"diagnostics__reward_scale": constant(1e4)}
    assert "needs a critic" in judged(normalized, **large).not_judged["reward_scale_large"]
    assert found("reward_scale_large", normalized, **large, losses__value=constant(1.0)) is not None


def test_updates_that_raise_the_return_by_far_have_regard_to_the_advantages() -> None:
    unaligned = {"diagnostics__advantage_alignment": np.random.default_rng(0).normal(0, 0.2, 100)}
    moves = {"diagnostics__approx_kl": constant(0.01)}
    assert found("advantage_unused", **unaligned, **moves, train__reward=RISING) is None
    assert found("advantage_unused", **unaligned, **moves, train__reward=FLAT) is not None


def test_the_first_entropy_alone_does_not_decide() -> None:
    continuous = Facts(action_dimensions=2)
    outlier = step_at(2_000, -4.0, 1.4)
    assert found("entropy_grows", continuous, train__entropy=outlier, train__reward=FLAT) is None
    grown = step_at(20_000, -4.0, 1.4)
    assert found("entropy_grows", continuous, train__entropy=grown, train__reward=FLAT) is not None


def test_episodes_that_never_end_in_a_log_with_a_step_twice() -> None:
    series = {"diagnostics/done_fraction": (np.append(STEPS, STEPS[-1]), np.zeros(101))}
    diagnosis = diagnose(series, Facts(max_episode_steps=500, num_envs=8))
    assert [finding.rule for finding in diagnosis.findings] == ["episodes_never_end"]


def test_names_of_algorithms_as_configurations_write_them() -> None:
    worse = np.linspace(400, 20, 100)
    for settings in ({"algo": "dqn"}, {"agent/algorithm": "CrossQ"}):
        finding = found("return_fell", Facts.of(settings), train__reward=worse)
        assert finding and finding.causes[0] == "the learning rate is too high"
    assert Facts.of({"algorithm": ["PPO"]}).algorithm is None


def test_rare_successes_are_no_returns_that_are_all_alike() -> None:
    """Medians of five points are 0 where every twentieth is not."""
    rare = np.where(np.arange(100) % 20 == 7, 0.02, 0.0)
    for returns, is_alike in ((rare, False), (constant(0), True)):
        finding = found("return_stalled", train__reward=returns)
        assert finding and finding.causes[0].startswith("every episode has the same return") is is_alike


def test_log_probabilities_in_bfloat16_differ_by_less_than_those_of_another_policy() -> None:
    logits = 3 * np.random.default_rng(0).standard_normal((4096, 18))
    full = torch.tensor(logits).log_softmax(-1)
    error = (torch.tensor(logits).bfloat16().double().log_softmax(-1) - full).abs().mean()
    assert error > 0.002
    assert found("ratio_not_one", diagnostics__log_prob_error=constant(float(error))) is None
    assert found("ratio_not_one", diagnostics__log_prob_error=constant(0.02)) is not None


def test_a_ratio_that_is_always_1_gives_a_policy_loss_of_0() -> None:
    """As gradients summed over minibatches before one step do; float32 hides the KL of a policy that hardly moves."""
    facts, loss = Facts(normalizes_advantages=True), {"diagnostics__largest_policy_loss": constant(5e-8)}
    zero = {"diagnostics__approx_kl": constant(0.0)}
    on_policy = judged(facts, **loss, **zero, diagnostics__log_prob_change=constant(0.03))
    assert "not always 1" in on_policy.not_judged["policy_loss_cancels"]
    assert found("policy_loss_cancels", facts, **loss, **zero, diagnostics__log_prob_change=constant(2e-5)) is not None
    moves = {"diagnostics__log_prob_change": constant(0.03), "diagnostics__approx_kl": constant(5e-4)}
    assert found("policy_loss_cancels", facts, **loss, **moves) is not None
    drifts = judged(facts, **loss, **moves, diagnostics__log_prob_error=constant(0.1))
    assert [finding.rule for finding in drifts.findings] == ["ratio_not_one"]
    parts = {"diagnostics__weight_change__actor": constant(0.0), "diagnostics__weight_change__critic": constant(1e-3)}
    frozen = judged(facts, **loss, **zero, **parts, diagnostics__log_prob_change=constant(2e-5))
    assert [finding.rule for finding in frozen.findings] == ["weights_unchanged"]


def test_points_in_any_order_are_judged_by_their_steps() -> None:
    """And arrays that do not belong together are refused."""
    backwards = diagnose({"train/reward": (STEPS[::-1], RISING)}, PLANNED)
    assert "return_fell" in {each.rule for root in backwards.findings for each in (root, *root.consequences)}
    with pytest.raises(ValueError, match=r"train/reward: expected one value for each step, got shapes \(100,\) and"):
        diagnose({"train/reward": (STEPS, RISING[:50])})


def test_settings_of_a_schedule_are_none_of_the_run() -> None:
    one_cycle = {"lr_scheduler/total_steps": 500, "scheduler/num_steps": 20, "num_steps": 128}
    facts = Facts.of(one_cycle)
    assert (facts.total_steps, facts.rollout_steps) == (None, 128)


def test_a_few_episodes_that_reach_the_goal_by_chance_are_no_rise_by_far() -> None:
    """Where most returns are alike their noise is next to nothing, so that any other return is far beyond it."""
    inconsistent = {"diagnostics__advantage_fit": constant(0.1)}
    by_chance = np.where(np.arange(100) % 2 * (np.arange(100) > 60) > 0, -192.0, -200.0)
    by_chance[-25:] = np.where(np.arange(25) % 5 > 0, -196.0, -200.0)
    finding = found("advantages_inconsistent", train__reward=by_chance, **inconsistent)
    assert finding is not None and finding.severity == "critical"
    learned = found("advantages_inconsistent", train__reward=np.linspace(-200.0, -110.0, 100), **inconsistent)
    assert learned is not None and learned.severity == "info"
