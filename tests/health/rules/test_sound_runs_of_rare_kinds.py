"""Sound runs of kinds that rules for dense rewards and one scale misjudge, and what they still find there."""

import math
from typing import Any

import numpy as np
import pytest

from puffer_callbacks.health import Facts
from tests.health.runs import FLAT, RISING, constant, found, judged, step_at

UP = np.linspace(20, 200, 100)
KL = {"diagnostics__approx_kl": constant(5.0), "diagnostics__clip_fraction": constant(0.0)}


@pytest.mark.parametrize("rule", ["kl_large", "kl_zero", "clip_fraction_zero", "clip_range_small"])
def test_the_kl_of_training_without_rewards_is_not_that_of_a_policy(rule: str) -> None:
    """As that of a VAE, or of a network that learns from another, which logs it as ``approx_kl``."""
    supervised = judged(**KL, train__loss=RISING[::-1], train__entropy=constant(0.3))
    assert supervised.not_judged[rule] == "needs rewards, or the loss of a policy or of values"
    for sign in ({"train__reward": FLAT}, {"losses__policy": constant(0.1)}):
        assert rule in judged(**KL, **sign).judged
    assert rule in judged(Facts(clip_range=0.2), **KL).judged


def test_supervised_training_that_logs_an_entropy_is_judged_by_its_loss() -> None:
    explodes = {"gradient_norm__total": np.geomspace(1, 1e6, 100), "train__entropy": constant(0.5)}
    assert found("gradient_explodes", **explodes, train__loss=RISING[::-1]) is None
    assert found("gradient_explodes", **explodes, train__loss=RISING) is not None


@pytest.mark.parametrize("lengths", [UP, UP[::-1]])
def test_one_return_for_all_episodes_measures_nothing_where_their_length_moves(lengths: Any) -> None:
    """As −10 for a fall, whenever it comes, or 1 for a goal, however late."""
    series = {"train__reward": constant(-10), "train__episode_length": lengths}
    assert "all alike" in judged(**series).not_judged["return_stalled"]
    for other in ({"train__episode_length": constant(100)}, {"train__reward": constant(0)}):
        assert found("return_stalled", **series | other) is not None


def test_a_return_that_begins_to_rise_at_last_is_no_warning() -> None:
    rises = np.append(FLAT[:94], [40.0] * 6)
    late, never = found("return_stalled", train__reward=rises), found("return_stalled", train__reward=FLAT)
    once = found("return_stalled", train__reward=np.append(FLAT[:98], [40.0] * 2))
    assert late and never and once
    assert [each.severity for each in (late, never, once)] == ["info", "warning", "warning"]
    assert late.message.endswith("at the start, 40 at last.") and "has not risen" in never.message


def test_rare_rewards_do_not_show_that_the_return_has_not_risen() -> None:
    rare = np.where(np.arange(100) % 23 == 7, 0.25, 0.0)
    finding, alike = (found("return_stalled", train__reward=each) for each in (rare, constant(0)))
    assert finding is not None and alike is not None
    assert finding.severity == "info" and alike.severity == "warning"


def test_the_mean_of_a_few_games_strays_from_the_middle() -> None:
    means = np.random.default_rng(1).choice([-1, 1], (100, 64)).mean(1)
    game = {"train__reward": means, "rollout__return_min": constant(-1), "rollout__return_max": constant(1)}
    assert "a game between equals" in judged(**game).not_judged["return_stalled"]
    shifted = {name: values - 3 for name, values in game.items()}  # costs are no game
    losing = game | {"train__reward": means - 0.5}
    for other in (shifted, losing):
        assert found("return_stalled", **other) is not None
    trend = np.linspace(-0.12, 0.12, 100)  # of games between others than equals
    assert "return_stalled" in judged(**game | {"train__reward": means / 3 + trend}).judged
    assert found("return_fell", **game | {"train__reward": means / 3 - trend}) is not None


@pytest.mark.parametrize("after", [10, 0.1])
def test_the_critic_has_not_learned_rewards_of_another_scale_yet(after: float) -> None:
    far = {"diagnostics__return_std": constant(200), "diagnostics__value_std": constant(5)}
    far |= {"diagnostics__value_error": constant(0.95), "train__reward": FLAT}
    scale = {"diagnostics__reward_scale": step_at(50_000, 1, after)}
    assert "rewards of one scale" in judged(**far, **scale).not_judged["reward_scale_large"]
    assert found("reward_scale_large", **far, diagnostics__reward_scale=step_at(50_000, 1, 2)) is not None
    assert found("reward_scale_large", **far) is not None


OFF_POLICY = {f"diagnostics__weight_norm__{part}": constant(3.0) for part in ("actor", "q1", "q1_target")}


@pytest.mark.parametrize(
    ("rule", "series"),
    [
        ("units_saturated", {"plasticity__saturated_ratio__actor.1": constant(1.0)}),
        ("gradient_explodes", {"gradient_norm__total": np.geomspace(1, 1e6, 100)}),
    ],
)
def test_values_that_grow_by_wrong_targets_saturate_the_actor_and_explode_gradients(rule: str, series: Any) -> None:
    targets = "the critic's targets, or the values held against them, are wrong"
    off_policy, on_policy = (found(rule, **series, train__reward=FLAT, **parts) for parts in (OFF_POLICY, {}))
    assert off_policy and on_policy
    assert off_policy.causes[0].startswith(targets)
    assert not any(cause.startswith(targets) for cause in on_policy.causes)
    faster = {**OFF_POLICY, "train__learning_rate": constant(0.1)}
    by_rate = found(rule, **series, train__reward=FLAT, **faster)
    assert by_rate and by_rate.causes[0] == "the learning rate is too high"


@pytest.mark.parametrize("own", [True, False])
def test_an_actor_s_loss_that_is_its_values_has_the_wrong_sign(own: bool) -> None:
    values, entropy = np.linspace(-1, -200, 100), 0.2
    names = ("actor_loss", "q_values") if own else ("train__policy_loss", "train__q_values")
    wrong, right = (dict(zip(names, (sign * values - entropy, values), strict=True)) for sign in (1, -1))
    finding = found("actor_loss_sign", **wrong, **OFF_POLICY, train__reward=FLAT)
    assert finding is not None and finding.severity == "critical"
    assert finding.causes == ("the sign of the actor's loss is wrong: it lowers the critic's values of its actions",)
    assert finding.remedies == ("minimize −q(s, actor(s)).mean()",)
    soft = found("actor_loss_sign", **wrong, **OFF_POLICY, train__reward=FLAT, train__alpha=constant(0.2))
    assert soft is not None and soft.remedies == ("minimize (alpha · log_prob − q(s, actor(s))).mean()",)
    assert found("actor_loss_sign", **right, **OFF_POLICY, train__reward=FLAT) is None
    assert found("actor_loss_sign", **wrong, **OFF_POLICY, train__reward=RISING) is None


def test_an_entropy_that_outweighs_small_values_hides_no_sign() -> None:
    values = 0.3 * np.sin(np.arange(100.0))
    series = {"train__actor_loss": -values - 1.4, "train__q_values": values, "train__reward": FLAT}
    assert found("actor_loss_sign", **series, **OFF_POLICY) is None


def test_a_policy_gradient_by_action_values_may_have_a_loss_about_as_large_as_they_are() -> None:
    """−log π · q of three actions that are equally likely, as before anything is learned."""
    values = np.linspace(-1, -50, 100)
    series = {"actor_loss": math.log(3) * values, "q_values": values, "train__reward": FLAT}
    for parts, facts in (({}, Facts()), (OFF_POLICY, Facts(num_actions=3))):
        assert "not discrete" in judged(facts, **series, **parts).not_judged["actor_loss_sign"]
