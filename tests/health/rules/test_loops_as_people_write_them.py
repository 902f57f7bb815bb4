"""What is no trouble, and what is, in loops that people write themselves."""

import numpy as np
import pytest

from puffer_callbacks.health import Facts, Finding, diagnose
from puffer_callbacks.health.causes import CAUSES
from puffer_callbacks.health.returns import returns_of
from puffer_callbacks.health.series import Series
from tests.health.runs import FLAT, RISING, constant, found, judged, step_at

SHIFTED = {"leak_fraction": 1, "plain_end_fraction": 0, "bootstrap_leak_fraction": 0, "mask_shift": -1}
STEPWISE = {"time__optimizer_steps": np.arange(100) * 16.0, "diagnostics__repeated_rollout": constant(0)}


def diagnostics(**values):
    return {f"diagnostics__{name}": constant(value) for name, value in values.items()}


def test_flags_that_mark_the_reset_of_next_step_autoreset_are_no_trouble() -> None:
    """CleanRL's flags in Gymnasium 1: they mark the observation after an end, and its step only resets."""
    resets = found("done_mask", **diagnostics(**SHIFTED, unrewarded_end_fraction=1))
    assert resets is not None and resets.severity == "info"
    rewarded = diagnostics(**SHIFTED) | {"diagnostics__unrewarded_end_fraction": step_at(50_000, 1, 0.9)}
    shifted = found("done_mask", **rewarded)
    assert shifted is not None and shifted.severity == "critical"
    assert shifted.causes[0].startswith("advantages are masked by the dones of another step")


def test_a_whole_update_in_a_training_step_shows_no_first_minibatch() -> None:
    """As Lightning's manual optimization, which returns what its last minibatch had."""
    last = {"diagnostics__first_kl": constant(0.01), "diagnostics__approx_kl": constant(0.01), **STEPWISE}
    assert "ratio_not_one" in judged(**last, **diagnostics(training_steps=1)).not_judged
    assert found("ratio_not_one", **last, **diagnostics(training_steps=16)) is not None


def test_rollouts_that_come_after_their_update() -> None:
    """As in REINFORCE: log-probabilities have moved, and there is no ratio that they could be wrong in."""
    moved = diagnostics(log_prob_error=0.1)
    assert "ratio_not_one" in judged(**moved, train__policy_loss=constant(0.1)).not_judged
    assert "ratio_not_one" in judged(**moved, **diagnostics(first_kl=0, approx_kl=0.01)).not_judged
    assert found("ratio_not_one", **moved, **diagnostics(first_kl=0.01, approx_kl=0.01)) is not None


def test_a_ratio_that_is_wrong_before_there_was_an_update_is_no_stale_one() -> None:
    first = {"diagnostics__first_kl": constant(0.01)[1:], "diagnostics__approx_kl": constant(0.02)}
    series = {tag.replace("__", "/"): (np.arange(2, 2 + len(v)), v) for tag, v in first.items()}
    series["diagnostics/repeated_rollout"] = (np.arange(1, 101), constant(0))
    at_once = diagnose(series).findings[0]
    assert at_once.causes[0].startswith("the update takes log-probabilities of other actions")
    series["diagnostics/first_kl"][1][0] = 0.0
    later = diagnose(series).findings[0]
    assert later.causes[0].startswith("updates learn from a rollout of an earlier policy")


@pytest.mark.parametrize(
    "bias, cause", [(0.5, "actions are not drawn"), (-0.5, "the update takes log-probabilities of")]
)
def test_actions_that_are_not_drawn(bias: float, cause: str) -> None:
    finding = found("actions_not_sampled", **diagnostics(sampling_bias=bias), train__reward=FLAT)
    assert finding is not None and finding.causes[0].startswith(cause)
    assert found("actions_not_sampled", **diagnostics(sampling_bias=0)) is None


def test_a_clip_range_of_0() -> None:
    clipped = diagnostics(clip_fraction=0.9, approx_kl=1e-5) | {"train__reward": FLAT}
    finding = found("clip_range_small", **clipped)
    assert finding is not None and finding.causes[0] == "the clip range in force is about 0"
    assert found("clip_range_small", **{**clipped, "diagnostics__approx_kl": constant(0.02)}) is None
    assert found("clip_range_small", **{**clipped, "train__reward": RISING}) is None


def test_a_critic_near_the_mean_of_unpredictable_returns_is_worth_knowing_and_no_trouble() -> None:
    flat = diagnostics(explained_variance=0.0, return_std=5.0) | {"train__reward": FLAT}
    near, far = (found("critic_misfit", **flat, **diagnostics(value_error=error)) for error in (0.3, 0.9))
    assert near is not None and near.severity == "info"
    assert far is not None and far.severity == "warning"
    unpaid = diagnostics(value_error=0.9, nonzero_reward_fraction=0)
    assert found("critic_misfit", **flat, **unpaid) is None


def test_values_may_grow_until_they_are_as_large_as_returns() -> None:
    """DQN's loss begins at nearly 0, with its values."""
    rewards = {"train__reward": constant(20.0), "train__episode_length": constant(20.0)}
    loss = {"losses__value": np.geomspace(1e-3, 100, 100)}
    assert found("value_explodes", Facts(gamma=0.99), **loss, **rewards) is None
    assert found("value_explodes", Facts(gamma=0.99), losses__value=np.geomspace(1e-3, 1e7, 100), **rewards) is not None
    assert found("value_explodes", **loss, **rewards) is not None, "without gamma nothing is known of the values"


def test_an_exception_about_nan_in_the_first_interval() -> None:
    finding = diagnose({}, Facts(error="ValueError: found invalid values: tensor([[nan, nan]])")).findings[0]
    assert (finding.rule, finding.severity) == ("nonfinite_values", "critical")


def test_training_steps_without_an_optimizer_step() -> None:
    facts = Facts(total_steps=100_000)
    assert found("no_updates", facts, train__reward=FLAT).causes[0].startswith("no update takes place")
    stepped = found("no_updates", facts, train__reward=FLAT, **diagnostics(first_kl=0))
    assert stepped.causes[0].startswith("the optimizer does not step")


def test_weights_that_hardly_move_show_a_low_learning_rate() -> None:
    series = diagnostics(explained_variance=0.0, return_std=5.0, value_error=0.9, repeated_rollout=0)
    for part in ("actor", "critic"):
        series |= {
            f"diagnostics__weight_norm__{part}": constant(1.0),
            f"diagnostics__weight_change__{part}": constant(1e-5),
        }
    assert found("critic_misfit", **series, train__reward=FLAT).causes[0] == "the learning rate is too low"
    series["diagnostics__weight_change__critic"] = constant(1e-2)
    assert found("critic_misfit", **series, train__reward=FLAT).causes[0].startswith("the critic learns too slowly")


def test_an_epsilon_of_the_users_own_and_causes_of_dqn() -> None:
    series = {"train__epsilon": constant(1.0), "train__reward": FLAT}
    assert found("exploration_stays", Facts(total_steps=100_000), **series) is not None
    parts = {f"diagnostics__weight_norm__{name}": constant(1.0) for name in ("q_network_dot_0", "target_network_dot_0")}
    falling = {"train__reward": np.linspace(20, 9, 100)}
    advice = "the sign of the advantages, or of the policy loss, is wrong"
    assert advice in found("return_fell", **falling).causes
    assert advice not in found("return_fell", **falling, **parts).causes


NETWORKS = ("q_network", "target_network")
CRITIC_AND_TARGET = {f"diagnostics__weight_norm__{name}_dot_0": constant(1.0) for name in NETWORKS}


def test_what_a_critic_learns_is_a_cause_in_loops_with_a_target_network() -> None:
    """Stable-Baselines3's is right, and PPO's critic has no target network."""
    parts = CRITIC_AND_TARGET
    falling = {"train__reward": np.linspace(20, 9, 100)}
    targets = CAUSES["td_target_wrong"].text
    assert found("return_fell", **falling, **parts).causes[0] == targets
    assert targets in found("return_stalled", train__reward=FLAT, **parts).causes
    assert targets not in found("return_fell", Facts(algorithm="DQN"), **falling, **parts).causes
    assert targets not in found("return_fell", **falling, **parts, **diagnostics(advantage_std=1.0)).causes
    assert targets not in found("return_fell", **falling).causes


def test_beside_a_target_network_and_no_actor_what_acts_is_the_critic() -> None:
    """As in Lightning's tutorial, whose DQN is called ``net``."""
    parts = {f"diagnostics__weight_norm__{name}_dot_0": constant(1.0) for name in ("net", "target_net")}
    falling = {"train__reward": np.linspace(20, 9, 100)}
    targets = CAUSES["td_target_wrong"].text
    assert found("return_fell", **falling, **parts).causes[0] == targets
    actor = {"diagnostics__weight_norm__actor_dot_0": constant(1.0)}
    assert targets not in found("return_fell", **falling, **parts, **actor).causes


def _resting(part: str) -> Finding | None:
    changes = {
        f"diagnostics__weight_change__{part}": constant(0),
        "diagnostics__weight_change__baseline": constant(0.1),
    }
    return found("weights_unchanged", **changes, train__reward=FLAT)


@pytest.mark.parametrize("part", ["policy_dot_0", "policy_head", "policy_dot_net_dot_2", "agent_dot_policy_dot_fc1"])
def test_an_actor_that_is_called_policy(part: str) -> None:
    finding = _resting(part)
    assert finding is not None and finding.severity == "critical"
    assert finding.causes[0] == CAUSES["actor_not_trained"].text


@pytest.mark.parametrize("part", ["policy_dot_features_extractor_dot_0", "policy_dot_encoder", "teacher_policy_dot_0"])
def test_a_part_of_a_whole_that_is_called_policy_has_no_certain_role(part: str) -> None:
    finding = _resting(part)
    assert finding is not None and finding.severity == "info"


def test_the_budget_of_differential_privacy_is_no_exploration_rate() -> None:
    """As Opacus has it, which is called epsilon too."""
    assert "exploration_stays" in judged(epsilon=np.linspace(0.1, 8, 100)).not_judged


def test_without_a_ratio_log_probabilities_show_that_the_policy_moves() -> None:
    """As in A2C, whose loss knows no KL."""
    against = {"diagnostics__advantage_alignment": constant(-0.3) + 0.01 * np.sin(np.arange(100.0))}
    finding = found("advantage_unused", **against, diagnostics__log_prob_change=constant(0.05), train__reward=FLAT)
    assert finding is not None and finding.causes[0] == CAUSES["advantage_sign"].text
    for rests in ({"diagnostics__log_prob_change": constant(1e-7)}, {}):
        assert "advantage_unused" in judged(**against, **rests, train__reward=FLAT).not_judged


WHOLE_UPDATE = {
    "diagnostics__training_steps": constant(1),
    "diagnostics__repeated_rollout": constant(0),
    "diagnostics__log_prob_change": constant(0.02),
    "diagnostics__advantage_std": constant(4.0),
}


@pytest.mark.parametrize(("loss", "steps", "is_found"), [(4e-9, 16, True), (-1e-5, 16, False), (4e-9, 1, False)])
def test_a_policy_loss_that_cancels_out_in_a_whole_update(loss: float, steps: int, is_found: bool) -> None:
    """The first step's is 0 in a sound program."""
    taken = {"time__optimizer_steps": steps * np.arange(1.0, 101.0), "train__policy_loss": constant(loss)}
    diagnosis = judged(**WHOLE_UPDATE, **taken, train__reward=FLAT)
    assert ("policy_loss_cancels" in [finding.rule for finding in diagnosis.findings]) is is_found


def test_a_return_too_noisy_to_have_fallen_that_ends_far_lower_is_not_out_of_luck() -> None:
    noisy = np.where(np.arange(100) % 7 < 3, 40.0, 10.0)
    noisy[70:] = 9.0
    diagnosis = judged(train__reward=noisy)
    finding = next(each for each in diagnosis.findings if each.rule in ("return_stalled", "return_fell"))
    assert CAUSES["exploration_unlucky"].text != finding.causes[0]


def test_a_temperature_of_20_in_a_loop_that_logs_episodes_alone() -> None:
    """Of single episodes the mean reward of a step is known: one of 0.1 may hide a reward of 100 at the goal."""
    pendulum = {"train__reward": FLAT - 1200, "train__episode_length": constant(200)}
    high = found("temperature_high", **pendulum, train__alpha=constant(20.0))
    assert high is not None and high.causes[0] == CAUSES["temperature_high"].text
    assert found("temperature_high", **pendulum, train__alpha=constant(2.0)) is None
    rare = {"train__reward": FLAT - 50, "train__episode_length": constant(999)}
    assert "temperature_high" in judged(**rare, train__alpha=constant(0.2)).not_judged


def test_an_alpha_of_another_algorithm_is_no_temperature() -> None:
    """That of a prioritized replay beside an exploration rate, and the temperature of a sampler with advantages."""
    small = {"train__reward": FLAT} | diagnostics(reward_scale=0.01)
    replay, sampler = {"train__alpha": constant(0.6)}, {"train__temperature": constant(1.0)}
    for temperature in (replay, sampler):
        assert found("temperature_high", **small, **temperature) is not None
    assert "temperature_high" in judged(**small, **replay, train__epsilon=constant(0.05)).not_judged
    assert "temperature_high" in judged(**small, **sampler, **diagnostics(advantage_std=1.0)).not_judged


def test_outputs_of_many_actions_are_trained_one_after_the_other() -> None:
    shares = np.linspace(0.9, 0.2, 100)
    assert found("outputs_untrained", train__reward=FLAT, diagnostics__untrained_outputs=shares) is None
    stuck = found("outputs_untrained", train__reward=FLAT, diagnostics__untrained_outputs=constant(0.2))
    assert stuck is not None and stuck.severity == "warning"


def test_an_entropy_that_actions_within_bounds_cannot_have() -> None:
    bounds = Facts(action_dimensions=1, max_action_entropy=np.log(4.0))
    temperature = {"train__alpha": constant(0.2)} | CRITIC_AND_TARGET
    high = found("entropy_impossible", bounds, train__entropy=constant(3.42), **temperature)
    assert high is not None and high.causes == (CAUSES["log_prob_not_squashed"].text,)
    learns = found("entropy_impossible", bounds, train__entropy=constant(3.42), train__reward=RISING, **temperature)
    assert learns is not None
    assert (high.severity, learns.severity) == ("critical", "info"), "it may be that of the normal distribution"
    assert found("entropy_impossible", bounds, train__entropy=constant(1.38), **temperature) is None
    normal = judged(bounds, train__entropy=constant(3.42), train__ent_coef=constant(0.01))
    assert "entropy_impossible" in normal.not_judged, "PPO's normal distribution has no bounds"


def test_an_entropy_bonus_of_0_has_no_sign() -> None:
    stuck = diagnostics(dominant_action_fraction=1) | {"train__reward": FLAT, "train__entropy": constant(0.01)}
    stuck["diagnostics__dominant_action_fraction"] = step_at(30_000, 0.5, 1.0)
    first = {c: found("action_dominates", Facts(entropy_coefficient=c), **stuck).causes[0] for c in (0.0, 0.01)}
    assert first[0.01].startswith("the entropy bonus has the wrong sign")
    assert not first[0.0].startswith("the entropy bonus")


def test_single_episodes_count_by_their_steps() -> None:
    """Long good episodes among many short bad ones; and wins among losses."""
    lengths = np.r_[np.full(250, 20), np.tile([9, 9, 9, 200], 20)]
    returns = returns_of(Series(np.cumsum(lengths), lengths.astype(float)))
    assert returns.late > 2 * returns.early
    wins = (np.random.default_rng(1).random(600) < np.linspace(0, 0.3, 600)).astype(float)
    assert returns_of(Series(np.arange(600), wins)).improved


@pytest.mark.parametrize("steps", [np.zeros(60, int), np.r_[np.zeros(58, int), 10_000, 20_000]])
def test_returns_of_a_log_whose_step_hardly_counts_are_judged_as_they_come(steps: np.ndarray) -> None:
    series = {"train/reward": (steps, np.r_[np.linspace(1, 50, 30), np.linspace(5, 1, 30)])}
    assert "return_fell" in [finding.rule for finding in diagnose(series).findings]


def test_a_return_too_noisy_to_show_a_rise_is_a_note() -> None:
    rng = np.random.default_rng(2)
    noisy, quiet = (found("return_stalled", train__reward=20 + s * rng.normal(size=100)) for s in (40.0, 1.0))
    assert noisy is None or noisy.severity == "info"
    assert quiet is not None and quiet.severity == "warning"


def test_first_episodes_that_are_a_step_longer() -> None:
    alike = np.r_[-201.0, np.full(99, -200.0)]
    assert returns_of(Series(np.arange(100), alike)).are_alike
    assert not returns_of(Series(np.arange(100), np.r_[alike[:50], -180.0, alike[51:]])).are_alike


@pytest.mark.parametrize(("values", "alike"), [([5.0], True), ([5.0, 5.0], True), ([1.0, 5.0], False)])
def test_two_returns_are_alike_where_they_are_equal(values: list[float], alike: bool) -> None:
    assert returns_of(Series(np.arange(len(values)), np.array(values))).are_alike is alike


def test_a_return_that_loses_a_twentieth_is_a_note() -> None:
    little, much = (found("return_fell", train__reward=500 - np.linspace(0, lost, 100)) for lost in (30.0, 200.0))
    assert little is not None and little.severity == "info"
    assert much is not None and much.severity == "warning"
