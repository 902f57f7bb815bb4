"""What holds for a share of a run is measured in steps, and holds at the end: looks are dense at the beginning."""

import numpy as np
import pytest

from puffer_callbacks.health import Diagnosis, Facts, Finding, diagnose
from puffer_callbacks.health.look_schedule import LookSchedule
from puffer_callbacks.health.rules.policy_update import WEIGHT_CHANGE
from tests.health.runs import STEPS, constant, found, judged, step_at

TOTAL = 100_000
_SCHEDULE = LookSchedule()
LOOKS = 500 * np.array([rollout for rollout in range(1, 201) if _SCHEDULE.fires(rollout)])
"""Those of a live run with 200 rollouts of 500 steps."""


def _at_looks(until: int, facts: Facts, **series: tuple[float, int, float]) -> Diagnosis:
    """Series that change from a value to another at a step, as a live run knows them after some steps."""
    steps = LOOKS[until >= LOOKS]
    named = {tag.replace("__", "/").replace("_dot_", "."): change for tag, change in series.items()}
    rows = {tag: (steps, np.where(steps < at, before, after)) for tag, (before, at, after) in named.items()}
    return diagnose(rows, facts)


def _finding(diagnosis: Diagnosis, rule: str) -> Finding | None:
    return next((finding for finding in diagnosis.findings if finding.rule == rule), None)


def _warm_up(until: int, ends: int, facts: Facts) -> Finding | None:
    actor, critic = (0.0, ends, 0.1), (0.1, 0, 0.1)
    changes = {"diagnostics__weight_change__actor_dot_0": actor, "diagnostics__weight_change__critic_dot_0": critic}
    return _finding(_at_looks(until, facts, **changes), "weights_unchanged")


@pytest.mark.parametrize("until", [4_000, 15_000, 64_000, TOTAL])
def test_an_actor_that_rests_while_the_critic_warms_up(until: int) -> None:
    assert _warm_up(until, 15_000, Facts(total_steps=TOTAL)) is None


def test_an_actor_that_never_changes_is_found_after_a_quarter_of_the_run() -> None:
    facts = Facts(total_steps=TOTAL)
    assert _warm_up(16_000, 10 * TOTAL, facts) is None
    finding = _warm_up(48_000, 10 * TOTAL, facts)
    assert finding is not None and finding.severity == "critical"


def test_where_the_length_of_a_run_in_progress_is_unknown_its_end_is_waited_for() -> None:
    assert _warm_up(48_000, 10 * TOTAL, Facts(in_progress=True)) is None
    assert _warm_up(48_000, 10 * TOTAL, Facts()) is not None


def _replay_buffer_fills(until: int, first_update: int, facts: Facts, *, learns: bool = True) -> Finding | None:
    changes = {"diagnostics__weight_change__q_net_dot_0": (0.0, first_update if learns else 10 * TOTAL, 0.1)}
    steps = {"time__optimizer_steps": (0.0, first_update, 100.0)}
    return _finding(_at_looks(until, facts, **changes, **steps), "weights_unchanged")


@pytest.mark.parametrize("facts", [Facts(total_steps=TOTAL), Facts(in_progress=True)])
def test_before_the_first_optimizer_step_weights_rest(facts: Facts) -> None:
    """As while a replay buffer fills, for ``learning_starts`` steps."""
    assert _replay_buffer_fills(39_000, 40_000, facts) is None
    assert _replay_buffer_fills(TOTAL, 40_000, facts) is None


def test_weights_that_rest_after_the_first_optimizer_step_are_found() -> None:
    facts = Facts(total_steps=TOTAL)
    assert _replay_buffer_fills(24_000, 20_000, facts, learns=False) is None
    finding = _replay_buffer_fills(TOTAL, 20_000, facts, learns=False)
    assert finding is not None and finding.first_step >= 20_000
    assert _replay_buffer_fills(70_000, 10 * TOTAL, facts) is not None, "overdue"


def test_a_target_network_rests_for_its_interval() -> None:
    changes = {"diagnostics__weight_change__q_net_target_dot_0": (0.0, 40_000, 0.1)}
    changes["diagnostics__weight_change__q_net_dot_0"] = (0.1, 0, 0.1)
    for interval, is_found in ((40_000, False), (10_000, True)):
        facts = Facts(total_steps=TOTAL, target_update_interval=interval)
        assert bool(_finding(_at_looks(39_000, facts, **changes), "weights_unchanged")) is is_found
        assert _finding(_at_looks(TOTAL, facts, **changes), "weights_unchanged") is None


@pytest.mark.parametrize("part", ["q_net_target.0", "actor.0"])
def test_a_part_that_has_its_turn_now_and_then_rests_until_then(part: str) -> None:
    def finding(looks: int, turns: list[int]) -> Finding | None:
        steps = 1_000 * np.arange(1, looks + 1)
        changes = {part: np.isin(np.arange(1, looks + 1), turns) * 0.1, "q_net.0": np.full(looks, 0.1)}
        return _finding(diagnose({WEIGHT_CHANGE + n: (steps, c) for n, c in changes.items()}), "weights_unchanged")

    assert [finding(looks, [8, 16]) for looks in range(9, 26)] == [None] * 17
    assert finding(40, [8, 16]) is not None


def test_a_target_network_is_given_time_for_its_first_copy() -> None:
    for part, is_found in (("q_net_target.0", False), ("actor.0", True)):
        changes = {part: np.zeros(4), "q_net.0": np.full(4, 0.1)}
        rows = {WEIGHT_CHANGE + name: (1_000 * np.arange(1, 5), each) for name, each in changes.items()}
        assert bool(_finding(diagnose(rows), "weights_unchanged")) is is_found


def test_an_interval_as_long_as_the_run_is_named_instead_of_a_target_that_is_never_updated() -> None:
    """As Stable-Baselines3's DQN has it: 10,000 steps, with which its first example trains for 10,000."""
    changes = {"diagnostics__weight_change__q_net_target_dot_0": (0.0, TOTAL, 0.1)}
    changes["diagnostics__weight_change__q_net_dot_0"] = (0.1, 0, 0.1)
    for interval, rule, severity, cause in (
        (TOTAL, "updates_few", "warning", "the target network is updated too rarely for the length of the run"),
        (20_000, "weights_unchanged", "critical", "the target network is never updated"),
    ):
        facts = Facts(total_steps=TOTAL, target_update_interval=interval)
        diagnosis = _at_looks(80_000, facts, **changes)
        finding = _finding(diagnosis, rule)
        assert finding is not None and finding.severity == severity and finding.causes[0].startswith(cause)
        assert len(diagnosis.findings) == 1


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        (200_000, "A run of 100,000 steps has no update of its target network, which is due every 200,000 steps."),
        (70_000, "A run of 100,000 steps has 1 update of its target network, which is due every 70,000 steps."),
        (21_000, "A run of 100,000 steps has 4 updates of its target network, which is due every 21,000 steps."),
        (20_000, None),
    ],
)
def test_a_target_network_needs_several_updates(interval: int, message: str | None) -> None:
    facts = Facts(total_steps=100_000, target_update_interval=interval)
    fallen = found("updates_few", facts, train__reward=np.linspace(20, 9, 100))
    assert (fallen and fallen.message) == message
    assert found("updates_few", facts, train__reward=np.linspace(20, 400, 100)) is None


def test_what_has_ended_is_no_trouble_any_more() -> None:
    facts, flat = Facts(total_steps=TOTAL), {"train__reward": 20 + np.sin(np.arange(100.0))}
    for rule, tag in (
        ("action_dominates", "dominant_action_fraction"),
        ("actions_saturated", "saturated_action_fraction"),
        ("data_repeated", "repeated_rollout"),
    ):
        assert found(rule, facts, **{f"diagnostics__{tag}": step_at(60_000, 1, 0)}, **flat) is None
        assert found(rule, facts, **{f"diagnostics__{tag}": step_at(60_000, 0, 1)}, **flat) is not None
    assert found("minibatches_repeat", facts, diagnostics__batch_coverage=step_at(60_000, 0.25, 1)) is None


def test_rewards_that_come_late_are_a_note_until_they_do() -> None:
    """As in a sparse-reward environment that is solved after two thirds of the run."""
    facts, rewards = Facts(total_steps=TOTAL), {"diagnostics__nonzero_reward_fraction": (0.0, 66_000, 0.7)}
    severities = []
    for until in (3_000, 40_000, 64_000, TOTAL):
        finding = _finding(_at_looks(until, facts, **rewards), "reward_zero")
        severities.append(None if finding is None else finding.severity)
    assert severities == ["info", "info", "warning", None]


def test_rewards_of_an_unknown_length_are_a_note_until_the_end() -> None:
    rewards = {"diagnostics__nonzero_reward_fraction": (0.0, TOTAL, 0.0)}
    for facts, severity in ((Facts(in_progress=True), "info"), (Facts(), "critical")):
        finding = _finding(_at_looks(50_000, facts, **rewards), "reward_zero")
        assert finding is not None and finding.severity == severity


def test_rewards_between_two_looks_are_none_that_are_zero() -> None:
    rare = np.where(np.arange(100) % 10 == 5, 1.0, 0.0)
    assert found("reward_zero", diagnostics__nonzero_reward_fraction=constant(0), train__reward=rare) is None


def test_rewards_that_are_lost_on_the_way() -> None:
    """Episodes report returns, and the rewards that are learned from are 0: that needs no time."""
    lost = {"diagnostics__nonzero_reward_fraction": constant(0)[:8], "train__reward": constant(20)[:8]}
    finding = found("reward_zero", Facts(total_steps=TOTAL), **lost)
    assert finding is not None and finding.severity == "critical"


def test_rewards_that_end_halfway() -> None:
    fraction = step_at(50_000, 0.9, 0.0)
    finding = found("reward_zero", diagnostics__nonzero_reward_fraction=fraction, train__reward=step_at(50_000, 9, 0))
    assert finding is not None
    assert (finding.first_step, finding.severity) == (50_000, "warning")
    costs = step_at(50_000, -9, 0)  # there is nothing left to pay
    assert found("reward_zero", diagnostics__nonzero_reward_fraction=fraction, train__reward=costs) is None


def test_a_schedule_that_begins_at_zero_may_begin_late() -> None:
    facts = Facts(total_steps=TOTAL)
    for points, is_found in ((20, False), (45, True)):
        so_far = constant(0)[:points]
        assert bool(found("learning_rate_zero", facts, train__learning_rate=so_far)) is is_found
    assert found("learning_rate_zero", train__learning_rate=step_at(45_000, 0.0, 1e-3)) is None
    assert found("learning_rate_zero", Facts(in_progress=True), train__learning_rate=constant(0)[:20]) is None


def test_how_much_of_the_run_is_left_is_said_where_it_is_known() -> None:
    rate = step_at(40_000, 1e-3, 0.0)[:60]
    known = found("learning_rate_zero", Facts(total_steps=TOTAL), train__learning_rate=rate)
    unknown = found("learning_rate_zero", Facts(in_progress=True), train__learning_rate=rate)
    assert known and known.message == "The learning rate is 0 from step 40000 on, with 60% of the run left."
    assert unknown and unknown.message == "The learning rate is 0 from step 40000 on."


def test_symptoms_of_a_beginning_wait_for_the_end_where_the_length_is_unknown() -> None:
    misfit = {"diagnostics__explained_variance": constant(-0.1), "train__reward": 20 + np.sin(np.arange(100.0))}
    not_judged = judged(Facts(in_progress=True), **misfit).not_judged
    for rule in ("critic_misfit", "return_stalled", "return_fell"):
        assert "the end of the run" in not_judged[rule]
    assert STEPS[-1] == TOTAL and "critic_misfit" in judged(Facts(), **misfit).judged


def test_units_are_dormant_that_were_for_a_third_of_the_run() -> None:
    """As with saturated ones: a few looks before the end, a share of them is one more swing."""
    series = {"plasticity__saturated_ratio__actor_dot_1": 0.99, "plasticity__dormant_ratio__actor_dot_1": 0.99}
    flat = 20 + 2 * np.sin(np.arange(100.0))
    for tag, share in series.items():
        rule = "units_" + tag.split("__")[1].removesuffix("_ratio")
        assert found(rule, **{tag: step_at(90_000, 0, share)}, train__reward=flat) is None
        assert found(rule, **{tag: step_at(60_000, 0, share)}, train__reward=flat) is not None
