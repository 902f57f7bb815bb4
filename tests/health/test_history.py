"""Series that rules look at, against the points that were written."""

import copy
import math

import numpy as np

from puffer_callbacks.health.history import History

TAG = "train/reward"


def points(history, tag=TAG):
    steps, values = history.series[tag]
    return list(zip(steps.tolist(), values.tolist(), strict=True))


def test_a_long_series_stays_even_and_keeps_what_is_not_finite():
    history = History(max_points=8)
    for at in range(100):
        history.log_values({TAG: math.inf if at == 37 else float(at)}, at * 10)
    steps, values = history.series[TAG]
    finite = steps[np.isfinite(values)]
    assert steps[~np.isfinite(values)].tolist() == [370]
    assert finite[0] == 0 and set(np.diff(finite)) == {160} and len(finite) == 7
    assert values[np.isfinite(values)].tolist() == (finite / 10).tolist()


def test_more_of_the_last_row_replaces_its_values():
    history = History()
    history.log_values({TAG: 1.0}, 10)
    history.log_values({TAG: 2.0, "train/loss": 3.0}, 10)
    history.log_values({TAG: 4.0}, 5)  # the last step is the highest
    assert points(history) == [(10, 2.0), (5, 4.0)]
    assert points(history, "train/loss") == [(10, 3.0)]
    assert history.last_step == 10


def test_what_no_rule_looks_at_is_passed_over():
    history = History()
    row = {"mine": 1.0, "rollout/info/x": 1.0, "train/n": 3, "throughput/sps": 2.0, "throughput/other": 2.0}
    history.log_values(row, 10)
    assert history.series.keys() == {"throughput/sps"}


def test_a_checkpoint_continues_the_series():
    whole, first, second = History(max_points=8), History(max_points=8), History(max_points=8)
    for at in range(60):
        whole.log_values({TAG: float(at), "mine": 1.0}, at)
        (first if at < 21 else second).log_values({TAG: float(at), "mine": 1.0}, at)
        if at == 20:
            state = first.state_dict()
            kept = copy.deepcopy(state)
            second.load_state_dict(state)
            assert second.last_step == 20
    assert points(second) == points(whole)
    assert second.last_step == 59
    assert state == kept, "a checkpoint is a copy"
