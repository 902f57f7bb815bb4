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


def hard(target, now, before, step):
    return now


def late(target, now, before, step):
    """As where the copy comes first in a training step."""
    return before


def at_every_other_step(target, now, before, step):
    return now if step % 2 else target


def averaged(target, now, before, step):
    return target + 0.5 * (now - target)


@pytest.mark.parametrize(
    ("rule", "updates_a_step", "copied"),
    [(hard, 1, 1.0), (late, 1, 1.0), (at_every_other_step, 1, 0.0), (averaged, 1, 0.0), (hard, 2, 0.0)],
)
def test_a_target_network_is_copied_where_it_has_the_trained_weights_after_each_update(rule, updates_a_step, copied):
    tracker, trained, target = TargetTracker(), torch.rand(3, 2), torch.rand(3, 2)
    tracker.start([("q.weight", trained), ("q_target.weight", target)])
    for step in range(5):
        assert tracker.is_following and tracker.pop() == {}
        before = trained.clone()
        trained += 1
        target.copy_(rule(target, trained, before, step))
        tracker.add_step({}, None, updates=step * updates_a_step)
    assert not tracker.is_following
    assert tracker.pop() == {"diagnostics/target_copied": copied}


@pytest.mark.parametrize("updates", [(0, 0, 0, 0, 0), (0, 0, 0, 1, 2), (0, 0, 1, 1, 2)])
def test_steps_without_an_update_do_not_show_whether_a_target_network_is_copied(updates):
    """As before learning starts, and where there is one update in several steps."""
    tracker, trained, target = TargetTracker(), torch.rand(3, 2), torch.rand(3, 2)
    tracker.start([("q.weight", trained), ("q_target.weight", target)])
    done = 0
    for taken in updates:
        if taken > done:
            trained += 1
            target.copy_(trained)
        done = taken
        tracker.add_step({}, None, updates=taken)
    assert not tracker.is_following and tracker.pop() == {}


@pytest.mark.parametrize(
    ("trained", "target"), [("q", "q_target"), ("net", "target_net"), ("policy_net", "target_net")]
)
def test_outputs_are_trained_where_their_weights_have_ever_changed(trained, target):
    tracker, hidden, outputs = TargetTracker(), torch.rand(8, 8), torch.rand(4, 8)
    weights = [
        (f"{trained}.0.weight", hidden),
        (f"{trained}.2.weight", outputs),
        (f"{trained}.2.bias", outputs[:, 0]),
        (f"{target}.weight", hidden),
    ]
    shares = []
    for changed in ([], [0, 1], [], [1, 3]):
        outputs[changed] += 1
        tracker.start(weights)
        shares.append(tracker.pop().get("diagnostics/untrained_outputs"))
    assert shares == [None, 0.5, 0.5, 0.25]
    tracker.start([*weights[:1], (f"{trained}.2.weight", torch.rand(3, 8)), *weights[2:]])
    assert tracker.pop() == {}


def test_the_critic_s_loss_is_held_against_its_batch_and_following_begins_anew():
    trained, values, returns = torch.ones(2, 2), torch.arange(4.0), torch.tensor([0.0, 2.0, 2.0, 4.0])
    tracker, batch = TargetTracker(), {"values": values, "returns": returns}
    for _ in range(2):
        tracker.start([("q.weight", trained), ("q_target.weight", torch.zeros(2, 2))])
        steps = 0
        while tracker.is_following:
            tracker.add_step({"loss": (values - returns).square().mean()}, batch, updates=steps)
            steps += 1
        assert steps == 5
        assert tracker.pop() == {
            "diagnostics/target_copied": 0.0,
            "diagnostics/value_pairing": pytest.approx(1.0),
        }
