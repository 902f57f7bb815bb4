"""Critic, rewards, gradients, weights, units, returns, speed."""

from dataclasses import replace

import numpy as np
import pytest

from puffer_callbacks.health import Facts, diagnose
from puffer_callbacks.health.evidence import Evidence
from puffer_callbacks.health.rules.loss import composition
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged, step_at

PPO = Facts(entropy_coefficient=0.01, value_coefficient=0.5, num_actions=2)


def _loss(value_coefficient: float, entropy_coefficient: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    policy, value, entropy = rng.normal(size=100), rng.uniform(1, 50, 100), np.linspace(0.69, 0.4, 100)
    loss = policy + value_coefficient * value - entropy_coefficient * entropy
    return {"train__loss": loss, "train__policy_loss": policy, "train__value_loss": value, "train__entropy": entropy}


def test_weights_of_the_loss_are_recovered_from_what_is_logged() -> None:
    series = {tag.replace("__", "/"): (STEPS, values) for tag, values in _loss(0.5, 0.01).items()}
    found_composition = composition(Evidence(series, Facts()))
    assert found_composition.value_coefficient == pytest.approx(0.5, abs=1e-6)
    assert found_composition.entropy_coefficient == pytest.approx(0.01, abs=1e-5)


def test_loss_that_is_not_composed_as_configured() -> None:
    sign = found("loss_composition", PPO, **_loss(0.5, -0.3))
    huge = found("loss_composition", PPO, **_loss(0.5, 10.0))
    unweighted = found("loss_composition", PPO, **_loss(0.0, 0.01))
    assert sign and huge and unweighted
    assert sign.causes[0].startswith("the entropy bonus has the wrong sign")
    assert huge.causes[0].startswith("the entropy bonus outweighs")
    assert unweighted.causes[0] == "the value loss has weight 0"
    assert found("loss_composition", PPO, **_loss(0.5, 0.01)) is None


def test_loss_with_other_terms_is_not_judged() -> None:
    series = _loss(0.5, 0.01)
    series["train__loss"] = series["train__loss"] + 10 * np.sin(np.arange(100.0))
    assert "needs a loss that is the sum" in judged(PPO, **series).not_judged["loss_composition"]


def test_rewards_too_large_for_the_critic() -> None:
    far = {"diagnostics__return_std": constant(1e5), "diagnostics__value_std": constant(0.1)}
    assert found("reward_scale_large", **far, diagnostics__value_error=constant(0.99)) is not None
    # as large, but the critic has reached them
    assert found("reward_scale_large", **far, diagnostics__value_error=step_at(20_000, 1.0, 0.1)) is None


def test_explained_variance_below_zero_is_healthy_where_the_return_rises() -> None:
    fit = {"diagnostics__explained_variance": constant(-2.0), "diagnostics__return_std": constant(3.0)}
    assert found("critic_misfit", **fit, train__reward=FLAT) is not None
    assert found("critic_misfit", **fit, train__reward=RISING) is None
    fit["diagnostics__return_std"] = constant(0.0)
    assert found("critic_misfit", **fit, train__reward=FLAT) is None


def test_critic_within_a_tenth_of_its_targets_fits_however_little_it_explains() -> None:
    """As in A2C's rollouts of five steps, over which returns hardly vary."""
    fit = {"diagnostics__explained_variance": constant(0.0), "diagnostics__return_std": constant(0.6)}
    saturated = {"plasticity__saturated_ratio__critic_dot_1": step_at(50_000, 0, 0.99)}
    near, far = ({"diagnostics__value_error": constant(error)} for error in (0.02, 0.5))
    assert found("critic_misfit", **fit, **near, train__reward=FLAT) is None
    assert found("critic_misfit", **fit, **far, train__reward=FLAT) is not None
    assert found("units_saturated", **saturated, **near, train__reward=FLAT) is None
    assert found("units_saturated", **saturated, **far, train__reward=FLAT) is not None


def test_critic_that_comes_nearer_to_its_targets_is_sound_where_rollouts_are_short() -> None:
    """As Stable-Baselines3's A2C within its first thousands of steps on CartPole."""
    fit = {"diagnostics__explained_variance": constant(0.0), "diagnostics__return_std": constant(1.1)}
    learns, stays = ({"diagnostics__value_error": step_at(30_000, 1.0, error)} for error in (0.5, 0.98))
    five, long = Facts(rollout_steps=5, num_envs=4), Facts(rollout_steps=128, num_envs=4)
    assert found("critic_misfit", five, **fit, **learns, train__reward=FLAT) is None
    assert found("critic_misfit", five, **fit, **stays, train__reward=FLAT) is not None
    assert found("critic_misfit", long, **fit, **learns, train__reward=FLAT) is not None
    assert found("critic_misfit", **fit, **learns, train__reward=FLAT) is not None, "of unknown length"


def test_value_loss_that_explodes() -> None:
    loss = step_at(50_000, 1.0, 1e5)
    finding = found("value_explodes", losses__value=loss, train__reward=FLAT)
    assert finding is not None
    assert finding.first_step == 50_000
    assert found("value_explodes", losses__value=loss, train__reward=RISING) is None


def test_gamma_is_judged_by_the_length_of_episodes() -> None:
    facts = Facts(gamma=0.45)
    assert found("gamma_low", facts, train__episode_length=constant(200), train__reward=FLAT) is not None
    assert found("gamma_low", facts, train__episode_length=constant(3), train__reward=FLAT) is None
    assert found("gamma_low", Facts(gamma=0.9), train__episode_length=constant(200), train__reward=FLAT) is None


def test_gradient_is_judged_by_its_own_history() -> None:
    grown = step_at(70_000, 2.0, 5e3)
    finding = found("gradient_explodes", gradient_norm__total=grown, train__reward=FLAT)
    assert finding is not None
    assert 70_000 <= finding.first_step <= 73_000
    assert found("gradient_explodes", gradient_norm__total=constant(5e3), train__reward=FLAT) is None


def test_gradient_that_vanishes_in_a_layer() -> None:
    norms = {"gradient_norm__total": constant(1.0), "gradient_norm__actor_dot_0": constant(0.0)}
    assert found("gradient_vanishes", **norms, train__reward=FLAT) is not None
    assert found("gradient_vanishes", **norms, train__reward=RISING) is None


def test_gradient_that_is_always_cut_is_information() -> None:
    finding = found("gradient_clipped", gradient_norm__total=constant(500), gradient_norm__clipped=constant(0.5))
    assert finding is not None
    assert finding.severity == "info"
    assert found("gradient_clipped", gradient_norm__total=constant(5), gradient_norm__clipped=constant(0.5)) is None


def _changes(**parts: np.ndarray) -> dict[str, np.ndarray]:
    return {f"diagnostics__weight_change__{name}": values for name, values in parts.items()}


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ({"actor_dot_0": constant(0), "critic_dot_0": constant(0.1)}, "the actor's weights are not trained"),
        ({"actor_dot_0": constant(0.1), "critic_dot_0": constant(0)}, "the value loss does not reach the critic"),
        ({"q_net_dot_0": constant(0.1), "q_net_target_dot_0": constant(0)}, "the target network is never updated"),
        ({"actor_dot_0": constant(0), "critic_dot_0": constant(0)}, "the optimizer does not step"),
    ],
)
def test_weights_that_stay_name_the_part(parts: dict[str, np.ndarray], cause: str) -> None:
    finding = found("weights_unchanged", **_changes(**parts))
    assert finding is not None
    assert finding.causes[0].startswith(cause)


def test_weights_that_rest_between_updates_are_fine() -> None:
    every_other = np.arange(100) % 2 * 0.1
    assert found("weights_unchanged", **_changes(actor_dot_0=every_other, critic_dot_0=constant(0.1))) is None


def test_weights_that_decay() -> None:
    falling = {f"diagnostics__weight_norm__net_dot_{at}": np.geomspace(10, 0.5, 100) for at in range(3)}
    finding = found("weights_decay", **falling, train__reward=FLAT)
    assert finding is not None
    assert finding.severity == "critical"
    growing = {tag: values[::-1] for tag, values in falling.items()}
    assert found("weights_decay", **growing, train__reward=FLAT) is None


def test_saturated_units_from_the_start_and_later() -> None:
    tag = "plasticity__saturated_ratio__actor_dot_1"
    early = found("initialization_saturates", **{tag: constant(0.9)})
    assert early is not None
    assert early.causes[0].startswith("initial weights")
    later = step_at(50_000, 0, 0.99)
    assert found("initialization_saturates", **{tag: later}) is None
    finding = found("units_saturated", **{tag: later}, train__reward=FLAT)
    assert finding is not None
    assert finding.first_step == 50_000
    assert found("units_saturated", **{tag: later}, train__reward=RISING) is None
    assert found("units_saturated", **{tag: step_at(90_000, 0, 0.99)}, train__reward=FLAT) is None, "soon over, perhaps"


def test_dormant_units_are_never_a_finding_alone() -> None:
    dormant = {"plasticity__dormant_ratio__actor_dot_1": constant(1.0)}
    assert found("units_dormant", **dormant, train__reward=FLAT) is not None
    assert found("units_dormant", **dormant, train__reward=RISING) is None


def test_plasticity_loss_is_growing_features_falling_rank_and_a_falling_return() -> None:
    peak = np.concatenate([np.linspace(20, 400, 50), np.linspace(400, 30, 50)])
    series = {
        "plasticity__effective_rank__actor_dot_1": np.linspace(60, 5, 100),
        "plasticity__feature_norm__actor_dot_1": np.geomspace(1, 20, 100),
    }
    assert found("plasticity_lost", **series, train__reward=peak) is not None
    assert found("plasticity_lost", **series, train__reward=RISING) is None


def test_observations_out_of_scale() -> None:
    scale = {"diagnostics__observation_scale": constant(500)}
    assert found("observation_scale", **scale, train__reward=FLAT) is not None
    assert found("observation_scale", **scale, train__reward=RISING) is None
    assert found("observation_scale", Facts(normalizes_observations=True), **scale, train__reward=FLAT) is None
    far = {"diagnostics__observation_scale": constant(1e4)}
    assert found("observation_scale", **far, train__reward=RISING) is not None


def test_a_symptom_of_the_beginning_is_none_where_the_run_has_just_begun() -> None:
    misfit = {"diagnostics__explained_variance": constant(-0.1), "train__reward": FLAT}
    assert found("critic_misfit", **misfit) is not None
    for facts, points in ((Facts(total_steps=300_000), 100), (Facts(), 20)):
        short = {tag: values[:points] for tag, values in misfit.items()}
        assert "critic_misfit" in judged(facts, **short).not_judged


def test_a_cause_found_late_explains_a_return_that_never_rose() -> None:
    late = step_at(60_000, 0.01, 5.0)
    diagnosis = judged(diagnostics__approx_kl=late, diagnostics__clip_fraction=constant(0.3), train__reward=FLAT)
    (root,) = diagnosis.findings
    assert root.rule == "kl_large"
    assert "return_stalled" in [finding.rule for finding in root.consequences]


def test_the_losses_of_other_libraries_are_known_by_one_name() -> None:
    exploding = np.concatenate([np.ones(50), np.full(50, 1e6)])
    assert found("value_explodes", train__value_loss=exploding, train__reward=FLAT) is not None


def test_the_update_ratio_that_is_said_is_the_one_that_is_shown() -> None:
    ratios = {"update_ratio__net_dot_weight": np.array([0.9, 0.05, 0.2, 0.3, 0.1, *constant(0.01)[:20]])}
    finding = found("update_ratio_large", **ratios, train__reward=FLAT)
    assert finding is not None and "by 20.0% of itself" in finding.message
    assert finding.evidence[0].value == 0.2


def test_update_ratio() -> None:
    ratios = {"update_ratio__net_dot_0_dot_weight": constant(0.2)}
    assert found("update_ratio_large", **ratios, train__reward=FLAT) is not None
    assert found("update_ratio_large", **ratios, train__reward=RISING) is None
    ratios = {"update_ratio__net_dot_0_dot_weight": constant(1e-3)}
    assert found("update_ratio_large", **ratios, train__reward=FLAT) is None


def test_returns_that_stall_and_fall() -> None:
    assert found("return_stalled", train__reward=FLAT) is not None
    assert found("return_stalled", train__reward=RISING) is None
    peak = np.concatenate([np.linspace(20, 400, 50), np.linspace(400, 30, 50)])
    fell = found("return_fell", train__reward=peak)
    worse = found("return_fell", train__reward=np.linspace(400, 20, 100))
    assert fell and worse
    assert (fell.severity, worse.severity) == ("info", "warning")
    assert found("return_fell", train__reward=RISING) is None
    lost = np.concatenate([np.linspace(20, 400, 50), constant(20)[:50]])
    everything = found("return_fell", train__reward=lost)
    assert everything and everything.severity == "warning"


def test_returns_that_are_all_alike_are_the_first_cause() -> None:
    """As in MountainCar, where every episode is cut at the time limit until the first one reaches the goal."""
    alike = "every episode has the same return: the reward is out of reach, or does not depend on actions"
    random = {"train__entropy": constant(0.69)}
    for returns, is_first in ((constant(-200), True), (FLAT, False)):
        stalled = found("return_stalled", train__reward=returns)
        undecided = found("entropy_high", PPO, train__reward=returns, **random)
        assert stalled and undecided
        assert (stalled.causes[0] == alike) is (undecided.causes[0] == alike) is is_first
    rewarded = replace(PPO, entropy_coefficient=0.5)
    bonus = found("entropy_high", rewarded, train__reward=constant(-200), **random)
    assert bonus and bonus.causes[0].startswith("the entropy bonus outweighs the advantages")


def test_a_return_that_may_be_rising_is_a_note_that_gives_its_noise() -> None:
    noise = np.random.default_rng(0).normal(0, 8, 100)
    rises, stays, falls = (
        found("return_stalled", train__reward=np.linspace(30, 30 + rise, 100) + noise) for rise in (16, 4, -2)
    )
    assert rises and stays and falls
    assert rises.message == "The return has not risen beyond its noise (±14.2): 31.16 at the start, 42.25 now."
    assert stays.message.startswith("The return has not risen beyond its noise (±14.2): ")
    assert falls.message.startswith("The return has not risen: ")
    assert (rises.severity, stays.severity, falls.severity) == ("info", "warning", "warning")


def test_a_return_that_has_not_risen_yet_is_a_note_and_a_warning_in_the_end() -> None:
    for total, severity in ((150_000, "info"), (100_000, "warning"), (None, "warning")):
        finding = found("return_stalled", Facts(total_steps=total), train__reward=FLAT)
        assert finding and finding.severity == severity


def test_a_return_that_holds_its_level_after_a_resume_has_not_stalled() -> None:
    resumed = {"train/reward": (STEPS + 400_000, FLAT)}
    assert "return_stalled" in diagnose(resumed).not_judged


def test_episodes_at_the_limit() -> None:
    limit = {"diagnostics__time_limit_fraction": constant(1.0)}
    assert found("episodes_at_limit", **limit, train__reward=constant(-500)) is not None
    assert found("episodes_at_limit", **limit, train__reward=RISING) is None


def test_throughput_that_falls_and_falls() -> None:
    assert found("throughput_falls", throughput__sps=np.linspace(5000, 500, 100)) is not None
    noisy = 5000 + 3000 * np.sin(np.arange(100.0))
    assert found("throughput_falls", throughput__sps=noisy) is None


def test_one_trouble_is_one_finding_with_its_consequences() -> None:
    diagnosis = judged(
        PPO,
        train__learning_rate=constant(0.0),
        train__reward=FLAT,
        train__entropy=constant(0.693),
        diagnostics__approx_kl=constant(0.0),
    )
    assert [finding.rule for finding in diagnosis.findings] == ["learning_rate_zero"]
    assert {f.rule for f in diagnosis.findings[0].consequences} == {"kl_zero", "entropy_high", "return_stalled"}


def test_causes_that_the_algorithm_cannot_have_are_left_out():
    worse = np.linspace(400, 20, 100)
    sign = "the sign of the advantages, or of the policy loss, is wrong"
    assert found("return_fell", train__reward=worse).causes[0] == sign
    assert found("return_fell", Facts(algorithm="PPO"), train__reward=worse).causes[0] == sign
    for q_learning in (
        found("return_fell", Facts(algorithm="DQN"), train__reward=worse),
        found("return_fell", train__reward=worse, rollout__exploration_rate=np.linspace(1, 0.05, 100)),
    ):
        assert q_learning.causes == (
            "the learning rate is too high",
            "the environment is hard, or learning has not begun yet",
        )
        assert not any("advantage" in remedy for remedy in q_learning.remedies)
