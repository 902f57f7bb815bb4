"""Each optimizer keeps its place in the run after a resume, in whichever order optimizers are added."""

import pytest
import torch
from torch import nn

from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.registered_optimizers import RegisteredOptimizer, registered_index

REGISTERED = [RegisteredOptimizer("actor.weight", 3), RegisteredOptimizer("critic.weight", 5)]
MODULE = nn.ModuleDict({"actor": nn.Linear(2, 1), "critic": nn.Linear(2, 1)})


def optimizer(name, lr=0.1):
    return torch.optim.SGD(MODULE[name].parameters(), lr=lr)


@pytest.mark.parametrize(
    "registered, parameter, taken, index",
    [
        (REGISTERED, "critic.weight", set(), 1),
        (REGISTERED, "actor.weight", {1}, 0),
        (REGISTERED, "critic.bias", set(), 2),  # a new one, while those of the run may still come
        (REGISTERED, "critic.weight", {1}, 2),  # a second one of the same parameters
        ([REGISTERED[1], REGISTERED[1]], "critic.weight", {0}, 1),
        ([RegisteredOptimizer(None, 3)], "actor.weight", set(), 0),  # sharded before, or a checkpoint without names
        ([RegisteredOptimizer("old.weight", 3)], "actor.weight", set(), 0),  # renamed
        ([], "actor.weight", set(), 0),
    ],
)
def test_an_optimizer_is_found_by_its_first_parameter(registered, parameter, taken, index):
    assert registered_index(registered, parameter, MODULE, taken=taken) == index


def resumed(state, *optimizers):
    counters = Counters()
    counters.load_state_dict(state)
    counters.watch(MODULE, optimizers)
    return counters


def test_steps_and_rates_follow_the_optimizers_in_another_order():
    counters = Counters()
    counters.watch(MODULE, [actor := optimizer("actor", 0.25), critic := optimizer("critic", 0.5)])
    for each in (actor, critic, critic):
        each.step()
    state = counters.state_dict()
    counters.unwatch()
    again = resumed(state, critic, actor)
    for each in (critic, actor):
        each.step()
    assert again.state_dict()["each_optimizer"] == [2, 3]
    assert again.learning_rates == {"learning_rate": 0.25, "learning_rate/1": 0.5}
    assert again.optimizer_steps == 3
    again.unwatch()


def test_an_optimizer_that_was_not_added_again_is_in_the_next_checkpoint_too():
    state = {"optimizer_steps": 5, "env_steps": None, "each_optimizer": [3, 5]}
    state["parameters"] = [each.parameter for each in REGISTERED]
    counters = resumed(state, optimizer("critic"))
    assert {name: counters.state_dict()[name] for name in state} == state
    counters.add(optimizer("actor"))
    assert {counter.index: counter.steps for counter in counters.optimizers.values()} == {0: 3, 1: 5}
    counters.unwatch()


def test_a_checkpoint_without_names_goes_by_the_order():
    counters = resumed({"optimizer_steps": 5, "env_steps": None, "each_optimizer": [3, 5]}, *map(optimizer, MODULE))
    assert [counter.steps for counter in counters.optimizers.values()] == [3, 5]
    counters.unwatch()


def test_rates_of_the_last_step_are_in_the_next_checkpoint_before_another_step():
    layers = nn.ModuleList([nn.Linear(2, 1), nn.Linear(2, 1)])
    groups = [{"params": layer.parameters(), "lr": torch.tensor(0.5) / (1 + at)} for at, layer in enumerate(layers)]
    of_groups, counters = torch.optim.SGD(groups), Counters()
    counters.watch(layers, [of_groups])
    of_groups.step()
    again = Counters()
    again.load_state_dict(counters.state_dict())
    again.watch(layers, [of_groups])
    assert again.learning_rates == {"learning_rate": 0.5, "learning_rate/group_1": 0.25}
    counters.watch(layers, [of_groups])
    assert counters.learning_rates == {}, "another fit may begin with other rates"
    counters.unwatch()
    again.unwatch()
