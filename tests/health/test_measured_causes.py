"""Which of the causes that a rule lists come first, and which are left out, by what else was measured."""

import numpy as np
import pytest

from puffer_callbacks.health.causes import CAUSES
from tests.health.runs import FLAT, constant, found, step_at

RNG = np.random.default_rng(0)
ONE_ACTION = {
    "train__reward": FLAT,
    "train__entropy": step_at(40_000, 0.6, 0.001),
    "diagnostics__dominant_action_fraction": step_at(40_000, 0.5, 1),
}


def causes(**series):
    """The names of the causes of one action that dominates."""
    finding = found("action_dominates", **ONE_ACTION, **series)
    assert finding is not None
    names = {cause.text: name for name, cause in CAUSES.items()}
    return [names[text] for text in finding.causes]


def test_without_other_measurements_causes_stand_as_the_rule_lists_them():
    assert causes() == ["entropy_sign", "advantage_sign", "learning_rate_high", "entropy_coefficient_low"]


def test_a_policy_whose_layers_all_change_by_far_has_a_learning_rate_that_is_too_high():
    first = {"diagnostics__weight_change__actor_dot_0": step_at(3_000, 0.5, 0.01)}
    output = {"diagnostics__weight_change__actor_dot_2": step_at(3_000, 4.0, 0.01)}
    assert causes(**first, **output)[0] == "learning_rate_high"
    begins_near_0 = {"diagnostics__weight_change__actor_dot_0": constant(0.05)} | output
    assert causes(**begins_near_0) == causes()
    critic = {"diagnostics__weight_change__critic_dot_0": constant(4.0)}
    assert causes(**critic) == causes()


def test_a_learning_rate_that_no_agent_is_trained_with_comes_first():
    assert causes(train__learning_rate=constant(0.06))[0] == "learning_rate_high"
    assert causes(train__learning_rate=constant(0.007)) == causes()


@pytest.mark.parametrize("weight", [0.01, 0.0, -0.01])
def test_a_loss_whose_terms_add_up_shows_the_sign_of_the_entropy_bonus(weight):
    policy, value = RNG.standard_normal((2, 100))
    terms = {"train__policy_loss": policy, "train__value_loss": value**2}
    loss = policy + 0.5 * value**2 - weight * ONE_ACTION["train__entropy"]
    if weight < 0:  # the rule of the loss finds that
        assert (
            found("loss_composition", **ONE_ACTION, **terms, train__loss=loss).causes[0] == CAUSES["entropy_sign"].text
        )
    else:
        assert causes(**terms, train__loss=loss) == causes()[1:]


def test_updates_that_follow_advantages_show_their_sign():
    follows = {"diagnostics__advantage_alignment": 0.3 + 0.1 * RNG.standard_normal(100)}
    right, wrong = {"diagnostics__advantage_sign": constant(1.0)}, {"diagnostics__advantage_sign": constant(-1.0)}
    assert causes(**follows, **right) == ["entropy_sign", "learning_rate_high", "entropy_coefficient_low"]
    assert causes(**follows, **wrong) == causes()
    assert causes(diagnostics__advantage_alignment=0.1 * RNG.standard_normal(100), **right) == causes()
