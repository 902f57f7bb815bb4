"""Rules over the recurrence of advantages, the critic's targets and the policy's objective."""

from typing import Any

import numpy as np
import pytest

from puffer_callbacks.health import Facts, Finding
from tests.health.runs import FLAT, RISING, STEPS, constant, found, judged

SOUND = {"leak_fraction": 0, "bootstrap_leak_fraction": 0, "plain_end_fraction": 1, "mask_shift": 0}
AT_ONCE = {"reset_delay_fraction": 0, "reset_step_fraction": 0}


def of_rollouts(rule: str, facts: Facts | None = None, **numbers: Any) -> Finding | None:
    """The finding of a rule where statistics of rollouts are these numbers, or series of them."""
    rows = {f"diagnostics__{name}": np.broadcast_to(value, 100) for name, value in numbers.items()}
    return found(rule, facts, **rows)


def first_cause(finding: Finding | None) -> str:
    assert finding is not None
    return finding.causes[0]


def test_values_carried_over_ends_of_observations_that_jump_at_once() -> None:
    leak = {**SOUND, "plain_end_fraction": 0, "bootstrap_leak_fraction": 1}
    assert "next value is not masked" in first_cause(of_rollouts("done_mask", **leak, **AT_ONCE))
    assert "next value is not masked" in first_cause(of_rollouts("done_mask", **leak, time_limit_fraction=0))
    assert of_rollouts("done_mask", **SOUND, **AT_ONCE) is None


def test_next_step_autoreset_may_bootstrap_a_cut_from_the_next_row() -> None:
    """The row after the end holds the episode's own last observation; then comes one that only resets."""
    leak = {**SOUND, "plain_end_fraction": 0, "bootstrap_leak_fraction": 1, "reset_step_fraction": 1}
    leak["reset_delay_fraction"] = 0
    assert of_rollouts("done_mask", **leak) is None
    assert of_rollouts("done_mask", **leak, time_limit_fraction=1) is None
    some_are_cut = np.where(np.arange(100) % 2, 0.0, 1.0)
    mixed = {**leak, "bootstrap_leak_fraction": some_are_cut, "time_limit_fraction": some_are_cut}
    assert of_rollouts("done_mask", **mixed) is None
    assert of_rollouts("done_mask", **leak, time_limit_fraction=0) is not None


@pytest.mark.parametrize(("shift", "where"), [(1, "after"), (-1, "before")])
def test_a_mask_that_is_a_step_off(shift: float, where: str) -> None:
    leak = {**SOUND, "leak_fraction": 1, "plain_end_fraction": 0, "mask_shift": shift}
    finding = of_rollouts("done_mask", **leak, **AT_ONCE)
    assert finding is not None and finding.severity == "critical"
    assert f"end a step {where} the steps that are marked" in finding.message
    assert finding.causes == ("advantages are masked by the dones of another step",)
    without_observations = of_rollouts("done_mask", **leak)
    assert without_observations is not None and len(without_observations.causes) == (1 if shift > 0 else 2)


def test_dones_of_the_step_before() -> None:
    """As CleanRL's buffer has them: advantages end with the episodes, and Rollout.dones a step later."""
    late = {**SOUND, "leak_fraction": 1, "plain_end_fraction": 0, "mask_shift": -1, "reset_early_fraction": 1}
    note = of_rollouts("done_mask", **late)
    assert note is not None and note.severity == "info"
    assert note.causes[0].startswith("Rollout.dones are those of the step before")
    cut_late = {**SOUND, "reset_early_fraction": 1}
    rows = {f"diagnostics__{name}": constant(value) for name, value in cut_late.items()}
    alarm = found("dones_late", **rows, train__reward=FLAT)
    assert alarm is not None and alarm.severity == "warning"
    assert found("dones_late", **rows, train__reward=RISING) is None


def test_another_discount_factor_than_configured() -> None:
    finding = of_rollouts("gamma_not_applied", Facts(gamma=0.99), estimated_gamma=0.95)
    assert finding is not None
    assert finding.message == "Advantages are made with the discount factor 0.95, where 0.99 is configured."
    assert of_rollouts("gamma_not_applied", Facts(gamma=0.99), estimated_gamma=0.9899) is None
    noise = 0.9 + 0.05 * np.sin(np.arange(100.0))
    assert of_rollouts("gamma_not_applied", Facts(gamma=0.99), estimated_gamma=noise) is None
    assert "gamma_not_applied" in judged(diagnostics__estimated_gamma=constant(0.9)).not_judged


def test_a_discount_of_0_is_a_mask_turned_round() -> None:
    finding = of_rollouts("gamma_not_applied", Facts(gamma=0.99), estimated_gamma=1e-9)
    assert finding is not None and finding.severity == "critical"
    assert first_cause(finding) == "the mask at the ends of episodes is inverted"


def test_a_schedulers_gamma_is_no_discount_factor() -> None:
    assert Facts.of({"scheduler/gamma": 0.1, "agent/gamma": 0.97}).gamma == 0.97
    assert Facts.of({"lr_scheduler.gamma": 0.1}).gamma is None


@pytest.mark.parametrize(
    ("advantage", "value", "message"),
    [
        (1, 0, "are the advantages"),
        (0, 1, "are its own values"),
        (1, -1, "are +1 advantage -1 value"),
    ],
)
def test_targets_that_are_no_returns(advantage: float, value: float, message: str) -> None:
    weights = {"target_advantage_weight": advantage, "target_value_weight": value}
    finding = of_rollouts("value_targets", **weights)
    assert finding is not None and message in finding.message
    assert of_rollouts("value_targets", target_advantage_weight=1, target_value_weight=1) is None


def test_a_value_loss_over_all_pairs() -> None:
    finding = of_rollouts("value_loss_broadcast", value_pairing=2e-5 * (-1.0) ** np.arange(100))
    assert finding is not None and finding.severity == "critical"
    assert "broadcast" in first_cause(finding)
    assert of_rollouts("value_loss_broadcast", value_pairing=1.0) is None
    assert of_rollouts("value_loss_broadcast", value_pairing=np.linspace(-1, 1, 100)) is None  # another loss


def test_a_policy_loss_that_a_ratio_of_1_does_not_explain() -> None:
    first = {"first_policy_loss": 0.32, "first_kl": 0.0, "clip_fraction": 0.1}
    normalized = Facts(normalizes_advantages=True)
    assert "not clamped about 1" in first_cause(of_rollouts("surrogate_not_zero", normalized, **first))
    around_0 = {**first, "first_policy_loss": 0.3 * np.sin(np.arange(100.0))}
    assert of_rollouts("surrogate_not_zero", normalized, **around_0) is None
    assert of_rollouts("surrogate_not_zero", normalized, **first | {"first_policy_loss": -0.4}) is None
    rows = {f"diagnostics__{name}": constant(value) for name, value in first.items()}
    assert "surrogate_not_zero" in judged(**rows).not_judged
    rows["diagnostics__first_kl"] = constant(0.1)
    assert "surrogate_not_zero" in judged(normalized, **rows).not_judged


def test_a_ratio_of_1_at_every_step_of_an_update() -> None:
    """Where an update has several steps; with a single one the KL is measured before it."""
    rows = {
        "diagnostics__approx_kl": constant(0.0),
        "diagnostics__repeated_rollout": constant(0.0),
        "diagnostics__weight_change__actor": constant(0.01),
        "train__entropy": np.linspace(0.69, 0.4, 100),
    }
    several = {**rows, "time__optimizer_steps": 16.0 * STEPS / 1000}
    finding = found("kl_zero", **several)
    assert finding is not None and finding.severity == "warning"
    assert first_cause(finding) == "each update step compares its log-probabilities with themselves"
    assert "kl_zero" in judged(**rows, time__optimizer_steps=STEPS / 1000).not_judged
    assert "kl_zero" in judged(**rows).not_judged
    for small in ({"train__entropy": constant(0.69)}, {"diagnostics__dominant_action_fraction": constant(0.99)}):
        assert "kl_zero" in judged(**several | small).not_judged  # a KL that float32 rounds to 0


def test_a_time_limit_that_is_learned_as_an_end() -> None:
    cut = {"diagnostics__time_limit_fraction": constant(1), "train__reward": FLAT}
    plain = found("episodes_at_limit", **cut, diagnostics__plain_end_fraction=constant(1))
    assert first_cause(plain).startswith("the time limit is learned")
    for other in ({"diagnostics__plain_end_fraction": constant(0)}, {}):
        assert first_cause(found("episodes_at_limit", **cut, **other)).startswith("no episode reaches its goal")


def test_a_fixed_random_target_beside_a_predictor() -> None:
    """Random network distillation: its target is never trained, and other parts are."""
    names = {"rnd_dot_target": 0.0, "rnd_dot_predictor": 0.01, "actor": 0.01, "critic": 0.01}
    rows = {f"diagnostics__weight_change__{name}": constant(value) for name, value in names.items()}
    norms = {f"diagnostics__weight_norm__{name}": constant(1.0) for name in names}
    note = found("weights_unchanged", **rows, **norms)
    assert note is not None and note.severity == "info"
    q_network = {f"diagnostics__weight_change__{name}": constant(v) for name, v in (("q", 0.01), ("q_target", 0.0))}
    alarm = found("weights_unchanged", **q_network)
    assert alarm is not None and alarm.severity == "critical"


def test_a_run_that_learns_without_its_weights() -> None:
    table = {"diagnostics__weight_change__dummy": constant(0.0)}
    note, alarm = (found("weights_unchanged", **table, train__reward=reward) for reward in (RISING, FLAT))
    assert note and alarm
    assert (note.severity, alarm.severity) == ("info", "critical")
