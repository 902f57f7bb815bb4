"""Training steps of a critic with a target network."""

import pytest
import torch

from puffer_callbacks.health.statistics.targets import TargetTracker, batch_statistics


def followed(parameters, metrics=None, batch=None):
    tracker = TargetTracker()
    tracker.start(parameters.items())
    steps = 0
    while tracker.is_following:
        tracker.add_step(metrics or {}, batch, updates=steps)
        steps += 1
    return steps, tracker.pop()


@pytest.mark.parametrize(
    "parameters",
    [
        {"q_target.weight": torch.ones(2, 2)},  # the trained ones are shards, and left out
        {"q.weight": torch.ones(2, 2), "q_target.weight": torch.ones(2, 2, dtype=torch.uint8)},
        {"q.weight": torch.nn.parameter.UninitializedParameter(), "q_target.weight": torch.ones(2, 2)},
    ],
)
def test_parameters_that_cannot_be_compared_are_not_followed(parameters):
    assert followed(parameters) == (0, {})


def test_a_loss_for_each_sample_is_no_number():
    parameters = {"q.weight": torch.ones(2, 2), "q_target.weight": torch.ones(2, 2)}
    batch = {"values": torch.rand(4), "returns": torch.rand(4)}
    for loss in (torch.ones(4), "none"):
        assert followed(parameters, {"loss": loss}, batch) == (5, {"diagnostics/target_copied": 0.0})


def test_what_rounding_adds_to_rewards_is_no_next_value():
    """A bandit has none; its rewards come from NumPy in float64."""
    rewards = torch.linspace(-1, 1, 64, dtype=torch.float64)
    ends = (torch.arange(64) % 4 == 0).float()
    assert batch_statistics({"returns": rewards.float(), "rewards": rewards, "terminated": ends}) == {}
