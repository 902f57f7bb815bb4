"""Troubles of a run in progress, and the series that are kept of it."""

import json
import math

import numpy as np
import torch

from puffer_callbacks.health import Facts, selected_rules
from puffer_callbacks.health.finding import Diagnosis, Finding
from puffer_callbacks.health.history import History
from puffer_callbacks.health.look_schedule import LookSchedule
from puffer_callbacks.health.monitor import Monitor
from puffer_callbacks.health.tracker import Tracker


def finding(rule="kl_large", *, last_step=100, consequences=(), severity="warning"):
    return Finding(rule, severity, "", (), (), (), 100, last_step, consequences)


def changes(tracker, step, *found):
    return [(change.kind, change.finding.rule) for change in tracker.update(Diagnosis(found), step=step)]


def test_a_trouble_begins_once_and_ends_once():
    tracker = Tracker()
    assert changes(tracker, 100, finding()) == [("begins", "kl_large")]
    assert changes(tracker, 200, finding(last_step=200)) == []
    assert tracker.rules == {"kl_large": True}
    assert changes(tracker, 300) == []  # it may come back at once
    assert changes(tracker, 400) == [("ends", "kl_large")]
    assert tracker.rules == {"kl_large": False}
    assert changes(tracker, 500) == []
    assert [found.last_step for found in tracker.findings] == [200]
    assert changes(tracker, 600, finding(last_step=600)) == [("begins", "kl_large")]


def test_a_trouble_that_was_last_seen_before_the_last_diagnosis_has_ended():
    tracker = Tracker()
    changes(tracker, 1000, finding(last_step=900))
    assert changes(tracker, 2000, finding(last_step=900)) == []
    assert changes(tracker, 3000, finding(last_step=900)) == [("ends", "kl_large")]


def test_a_trouble_lasts_as_long_as_what_it_brings():
    """A policy that one early update broke stays broken."""
    tracker = Tracker()
    changes(tracker, 400)
    broken = finding(last_step=100, consequences=(finding("entropy_collapsed", last_step=500),))
    assert changes(tracker, 500, broken) == [("begins", "kl_large")]
    assert changes(tracker, 600, broken) == []
    assert changes(tracker, 700, broken) == []
    assert changes(tracker, 800, broken) == [("ends", "kl_large")]


def test_a_trouble_is_reported_again_when_it_becomes_graver_than_ever():
    tracker = Tracker()
    severities = ["info", "info", "warning", "info", "warning", "critical"]
    found = [changes(tracker, step, finding(last_step=step, severity=s)) for step, s in enumerate(severities, 100)]
    assert [len(each) for each in found] == [1, 0, 1, 0, 0, 1]


def test_a_symptom_whose_cause_is_found_later_does_not_end():
    tracker = Tracker()
    changes(tracker, 100, finding("return_stalled"))
    cause = finding("kl_large", last_step=200, consequences=(finding("return_stalled", last_step=200),))
    assert changes(tracker, 200, cause) == [("begins", "kl_large")]
    assert [found.rule for found in tracker.findings] == ["kl_large"]
    assert changes(tracker, 300, cause) == []


def test_what_was_reported_survives_json_and_is_not_reported_again():
    tracker, other = Tracker(), Tracker()
    cause = finding(last_step=200, consequences=(finding("return_stalled"),))
    changes(tracker, 200, cause)
    other.load_state_dict(json.loads(json.dumps(tracker.state_dict())))
    assert other.findings == [cause]
    assert changes(other, 200, cause) == []


def test_a_long_series_is_thinned_evenly_and_keeps_what_is_not_finite():
    history = History(max_points=64)
    for step in range(1000):
        history.log_values({"train/loss": math.nan if step == 501 else float(step)}, step)
    steps, values = history.series["train/loss"]
    assert 32 <= len(values) <= 65
    assert 501 in steps
    finite = steps[np.isfinite(values)]
    assert np.diff(finite).max() <= 64
    assert (values[np.isfinite(values)] == finite).all()
    assert history.last_step == 999


def test_only_what_rules_look_at_is_kept():
    history = History()
    history.log_values({"train/loss": 1.0, "mine": 1.0, "time/elapsed": 1.0, "throughput/sps": 2.0, "note": "x"}, 1)
    assert set(history.series) == {"train/loss", "throughput/sps"}


def test_the_state_of_a_monitor_is_plain(tmp_path):
    monitor = Monitor()
    for step in range(100, 2000, 100):
        monitor.log_values({"train/learning_rate": 0.0}, step)
    assert len(monitor.judge()) == 1
    torch.save(monitor.state_dict(), tmp_path / "state.pt")
    other = Monitor()
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert other.judge() == []
    assert other.findings == monitor.findings
    assert other.has("warning") and other.scalars()["health/learning_rate_zero"] == 1.0


def test_facts_may_come_as_series():
    series = {"diagnostics/num_actions": ([1], [3.0]), "diagnostics/has_dropout": ([1], [0.0])}
    facts = Facts(max_episode_steps=500).completed(series)
    assert (facts.num_actions, facts.has_dropout, facts.max_episode_steps) == (3, 0, 500)
    assert Facts(num_actions=2).completed(series).num_actions == 2


def test_looks_thin_out_to_every_64th_rollout_and_verdicts_with_them() -> None:
    schedule, looks, verdicts = LookSchedule(), [], []
    for rollout in range(1, 1025):
        if schedule.fires(rollout):
            looks.append(rollout)
            verdicts += [rollout] * schedule.verdict_is_due
    assert looks[:12] == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64]
    assert np.diff(looks).max() == 64
    assert verdicts[:6] == [8, 16, 32, 64, 128, 256]


def test_what_costs_little_is_found_between_two_verdicts() -> None:
    monitor = Monitor(Facts(total_steps=10_000, in_progress=True))
    for step in range(100, 2000, 100):
        monitor.log_values({"train/learning_rate": 0.1, "old_gradients/net.bias": 0.0}, step)
    assert not monitor.finds_anew()  # before the first verdict
    monitor.judge()
    assert not monitor.finds_anew()
    found = []
    for step in range(2000, 3000, 100):
        monitor.log_values({"train/learning_rate": 0.0, "old_gradients/net.bias": 0.0}, step)
        found.append(monitor.finds_anew())
    assert found == [False, False, True, *[False] * 7]  # once it has three points, and once alone
    assert [change.finding.rule for change in monitor.judge()] == ["learning_rate_zero"]
    monitor.log_values({"train/learning_rate": 0.1}, 3000)
    assert not monitor.finds_anew()
    for step in (3100, 3200, 3300):
        monitor.log_values({"train/learning_rate": 0.0}, step)
    assert monitor.finds_anew()  # again


def test_rules_that_are_switched_off_are_found_at_no_time() -> None:
    monitor = Monitor(Facts(in_progress=True), rules=selected_rules({"learning_rate_zero": False}, {}))
    for step in range(100, 2000, 100):
        monitor.log_values({"train/learning_rate": 0.1 * (step < 1000)}, step)
    monitor.judge()
    assert not monitor.finds_anew()


def test_a_row_that_was_judged_before_it_was_complete_is_one_point():
    history = History()
    for values, step in (({"train/loss": 1.0}, 50), ({"train/loss": 2.0}, 60), ({"train/loss": 3.0}, 60)):
        history.log_values(values, step)
    steps, values = history.series["train/loss"]
    assert (steps.tolist(), values.tolist()) == ([50, 60], [1.0, 3.0])
