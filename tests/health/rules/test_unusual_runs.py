"""Sound runs that are unusual: what resembles a fault there is none, and the fault itself is still found."""

from typing import Any

import numpy as np

from tests.health.runs import constant, found, judged

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
