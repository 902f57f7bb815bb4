"""Weights from look to look."""

import math

import pytest
import torch

from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.rollout import Rollout


def test_a_part_that_changes_only_between_two_looks_has_changed() -> None:
    """As a target network that is copied every thousand updates."""
    collector, target = Collector(), torch.ones(4)

    def look() -> float:
        collector.add_rollout(Rollout(), parameters=[("q_target.weight", target)])
        return collector.finish_update(parameters=[("q_target.weight", target)])["diagnostics/weight_change/q_target"]

    assert [look(), look()] == [0.0, 0.0]
    target.fill_(3.0)
    assert [look(), look()] == [pytest.approx(2 / 3), 0.0]


def test_of_a_large_model_a_sample_stands_for_all() -> None:
    collector, large, small = Collector(), torch.full((1500, 2000), 2.0), torch.full((2000,), 1.0)
    weights = [("body.weight", large), ("body.bias", small), ("head.empty", torch.ones(0))]
    norm, moved = math.sqrt(4 * 3_000_000 + 2000), math.sqrt(3_000_000)
    found = collector.add_rollout(Rollout(), parameters=weights)
    assert found["diagnostics/weight_norm/body"] == pytest.approx(norm, rel=1e-4)
    large += 1.0
    found = collector.add_rollout(Rollout(), parameters=weights)
    assert found["diagnostics/weight_change/body"] == pytest.approx(moved / norm, rel=1e-4)
    assert found["diagnostics/weight_norm/head"] == 0.0


def test_a_look_at_two_rollouts_in_a_row_tells_of_one_update() -> None:
    collector, target = Collector(), torch.ones(4)
    changes = []
    for value in (1.0, 1.0, 2.0, 2.0):
        target.fill_(value)
        changes.append(collector.add_rollout(Rollout(), parameters=[("target.weight", target)]))
    assert [found.get("diagnostics/weight_change/target") for found in changes] == [None, 0.0, 1.0, 0.0]
