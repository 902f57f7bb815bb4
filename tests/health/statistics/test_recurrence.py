"""Ends of episodes and the critic's targets, in rollouts whose advantages are worked out step by step."""

from typing import Any

import numpy as np
import pytest
import torch

from puffer_callbacks.health.statistics import rollout_statistics
from puffer_callbacks.rollout import Rollout

T, N, GAMMA, LAMBDA = 96, 4, 0.97, 0.9
RNG = np.random.default_rng(7)
REWARDS, VALUES, LAST = RNG.normal(size=(T, N)), RNG.normal(size=(T, N)), RNG.normal(size=N)
DONES = RNG.random((T, N)) < 0.08
FINAL = RNG.normal(size=(T, N))
"""Values of the observations that a time limit has cut off."""


def gae(*, bootstrap: Any = 1 - DONES, carry: Any = 1 - DONES, extra: Any = 0.0, gamma: float = GAMMA) -> Any:
    """A_t = r_t + extra + γ V_{t+1} · bootstrap − V_t + γλ A_{t+1} · carry."""
    advantages, following, running = np.zeros((T, N)), LAST, np.zeros(N)
    for t in reversed(range(T)):
        delta = REWARDS[t] + (extra + np.zeros((T, N)))[t] + gamma * following * bootstrap[t] - VALUES[t]
        advantages[t] = running = delta + gamma * LAMBDA * carry[t] * running
        following = VALUES[t]
    return advantages


def statistics(advantages: Any, returns: Any = None, *, dones: Any = DONES, values: Any = VALUES) -> dict[str, float]:
    fields = {"rewards": REWARDS, "values": values, "advantages": advantages, "returns": returns}
    tensors = {name: torch.tensor(field).float() for name, field in fields.items() if field is not None}
    found = rollout_statistics(Rollout(**tensors, dones=torch.tensor(dones)))
    return {tag.removeprefix("diagnostics/"): value for tag, value in found.items()}


def ends(found: dict[str, float]) -> list[float]:
    names = ("leak_fraction", "bootstrap_leak_fraction", "plain_end_fraction", "mask_shift")
    return [round(found[name], 1) for name in names]


NOWHERE = np.ones((T, N))
BEFORE, AFTER = np.roll(DONES, 1, 0), np.roll(DONES, -1, 0)


@pytest.mark.parametrize("scale", [1.0, 0.01, 300.0])
@pytest.mark.parametrize(
    ("advantages", "expected"),
    [
        (gae(), [0, 0, 1, 0]),
        (gae(extra=GAMMA * FINAL * DONES), [0, 0, 0, 0]),
        (gae(bootstrap=NOWHERE, carry=NOWHERE), [1, 0, 0, 0]),
        (gae(carry=NOWHERE), [1, 0, 0, 0]),
        (gae(bootstrap=NOWHERE), [0, 1, 0, 0]),
        (gae(bootstrap=1 - BEFORE, carry=1 - BEFORE), [1, 0, 0, 1]),
        (gae(bootstrap=1 - AFTER, carry=1 - AFTER), [1, 0, 0, -1]),
    ],
    ids=["sound", "time limit", "no mask", "advantage alone", "value alone", "mask after", "mask before"],
)
def test_what_advantages_carry_over_ends(advantages: Any, expected: list[float], scale: float) -> None:
    """However they are scaled; an end after which another comes at once shows less."""
    found = statistics((advantages - 0.3) * scale)
    assert found["advantage_fit"] == pytest.approx(1.0, abs=1e-6)
    assert found["estimated_gamma"] == pytest.approx(GAMMA, abs=1e-4)
    assert ends(found) == pytest.approx(expected, abs=0.2)


def test_one_step_differences_carry_no_advantage() -> None:
    """With λ = 0 what a time limit cut off may be bootstrapped from the next row: no advantage leaks."""

    def one_step(bootstrap: Any) -> Any:
        return REWARDS + GAMMA * np.concatenate([VALUES[1:], LAST[None]]) * bootstrap - VALUES

    assert ends(statistics(one_step(1 - DONES))) == [0, 0, 1, 0]
    assert ends(statistics(one_step(NOWHERE))) == [0, 1, 0, 0]


def weights(found: dict[str, float]) -> list[float]:
    return [found["target_advantage_weight"], found["target_value_weight"]]


def test_targets_are_advantages_and_values_however_these_are_normalized() -> None:
    advantages = gae()
    returns, normalized = advantages + VALUES, (advantages - advantages.mean()) / advantages.std()
    for given in (
        (advantages, returns),
        (normalized, returns),
        (advantages, (returns - 3) / 20),
        (normalized, (returns + 1) * 7),
    ):
        assert weights(statistics(*given)) == pytest.approx([1, 1], abs=1e-3)
    popart = statistics(advantages, (returns - 2) / 5, values=(VALUES - 2) / 5)  # A comes from the true values
    assert weights(popart) == pytest.approx([1, 1], abs=1e-3)


def test_targets_that_are_something_else() -> None:
    advantages = gae()
    assert weights(statistics(advantages, advantages)) == pytest.approx([1, 0], abs=1e-3)
    assert weights(statistics(advantages, VALUES)) == pytest.approx([0, 1], abs=1e-3)
    assert weights(statistics(advantages, advantages - VALUES)) == pytest.approx([1, -1], abs=1e-3)


def test_targets_of_another_estimator_are_not_judged() -> None:
    """Monte Carlo returns beside advantages with λ < 1; and returns as advantages, as in REINFORCE."""
    returns, running = np.zeros((T, N)), LAST
    for t in reversed(range(T)):
        returns[t] = running = REWARDS[t] + GAMMA * running * (1 - DONES[t])
    for advantages in (gae(), returns):
        assert "target_value_weight" not in statistics(advantages, returns)
    baseline = statistics(returns - VALUES, returns)
    assert weights(baseline) == pytest.approx([1, 1], abs=1e-3)


def test_observations_that_begin_anew_before_the_marked_end() -> None:
    dones = torch.zeros(T, N, dtype=torch.bool)
    dones[9::10] = True
    position = (torch.arange(T) % 10).double().view(T, 1, 1).expand(T, N, 1)
    for late, expected in ((0, None), (1, 1.0)):
        found = rollout_statistics(Rollout(observations=position, dones=dones.roll(late, 0)))
        assert found.get("diagnostics/reset_early_fraction") == expected


@pytest.mark.parametrize("odds", [100, 200])
def test_a_rare_state_at_the_end_of_a_table_s_episode_is_no_early_reset(odds: int) -> None:
    """Of one-hot states, those on the way to an end are rare, so that the steps to them are as long as a reset."""
    generator, states, dones = np.random.default_rng(0), np.zeros(2000, int), np.zeros(2000, bool)
    for t, state in enumerate(states[:-1]):
        dones[t] = state == 6
        other = 4 if generator.random() < 1 / odds else (state + generator.integers(1, 4)) % 4
        states[t + 1] = 0 if dones[t] else state + 1 if state > 3 else other
    assert dones.sum() > 5
    table = torch.tensor(np.eye(7)[states])[:, None]
    found = rollout_statistics(Rollout(observations=table, dones=torch.tensor(dones)[:, None]))
    assert found.get("diagnostics/reset_early_fraction") is None
