"""What optimizers were configured with, whatever has been written over it since."""

import copy

import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR

from puffer_callbacks.recorder.configured_optimizers import ConfiguredOptimizers


def parameter():
    return torch.nn.Parameter(torch.zeros(2))


def read(configured, *optimizers, has_begun=True):
    return configured.read(optimizers, has_begun=has_begun)


def resumed(configured):
    other = ConfiguredOptimizers()
    other.load_state_dict(copy.deepcopy(configured.state_dict()))
    return other


def test_a_rate_that_was_changed_by_hand_is_not_the_configured_one():
    optimizer, configured = Adam([parameter()], lr=0.1), ConfiguredOptimizers()
    first = read(configured, optimizer, has_begun=False)
    optimizer.param_groups[0]["lr"] = 0.001
    assert read(configured, optimizer) == read(resumed(configured), optimizer) == first
    assert first[0][0]["lr"] == 0.1


def test_each_optimizer_and_each_group_has_its_own():
    first = SGD([{"params": [parameter()]}, {"params": [parameter()], "lr": 0.5}], lr=0.1)
    second, configured = Adam([parameter()], lr=0.3), ConfiguredOptimizers()
    read(configured, first, second, has_begun=False)
    for optimizer in (first, second):
        for group in optimizer.param_groups:
            group["lr"] /= 10
    first.add_param_group({"params": [parameter()], "lr": 0.7})
    for each in (configured, resumed(configured)):
        rates = [[group["lr"] for group in groups] for groups in read(each, first, second)]
        assert rates == [[0.1, 0.5, 0.7], [0.3]]


def test_what_a_scheduler_moves_besides_the_rate_is_as_it_began():
    optimizer, configured = SGD([parameter()], lr=0.1, momentum=0.9), ConfiguredOptimizers()
    scheduler = OneCycleLR(optimizer, max_lr=1.0, total_steps=10)
    first = read(configured, optimizer, has_begun=False)[0][0]
    assert (first["lr"], first["momentum"]) == (pytest.approx(1.0 / 25), 0.95)
    for _ in range(5):
        optimizer.step()
        scheduler.step()
    assert read(configured, optimizer)[0][0] == first


def test_an_optimizer_that_is_constructed_otherwise_is_configured_anew():
    configured = ConfiguredOptimizers()
    read(configured, SGD([parameter()], lr=0.1), has_begun=False)
    assert read(resumed(configured), SGD([parameter()], lr=0.01))[0][0]["lr"] == 0.01
    assert read(resumed(configured), Adam([parameter()], lr=0.2))[0][0]["lr"] == 0.2


def test_a_run_that_has_not_begun_is_configured_as_it_stands():
    optimizer, configured = SGD([parameter()], lr=0.1), ConfiguredOptimizers()
    read(configured, optimizer, has_begun=False)
    optimizer.param_groups[0]["lr"] = 0.3  # as a finder of the learning rate does
    assert read(configured, optimizer, has_begun=False)[0][0]["lr"] == 0.3


def test_of_a_checkpoint_without_them_a_schedule_tells_where_it_began():
    optimizer, configured = SGD([parameter()], lr=0.1), ConfiguredOptimizers()
    scheduler = ExponentialLR(optimizer, 0.1)
    optimizer.step()
    scheduler.step()
    configured.load_state_dict([])
    assert read(configured, optimizer)[0][0]["lr"] == 0.1


def test_optimizers_that_are_found_later_keep_theirs():
    optimizer, configured = SGD([parameter()], lr=0.1), ConfiguredOptimizers()
    read(configured, optimizer, has_begun=False)
    optimizer.param_groups[0]["lr"] = 0.001
    assert read(configured) == []
    assert read(configured, optimizer)[0][0]["lr"] == 0.1


def test_a_rate_in_a_tensor_is_written_over_in_place():
    optimizer, configured = Adam([parameter()], lr=torch.tensor(0.25), capturable=True), ConfiguredOptimizers()
    read(configured, optimizer, has_begun=False)
    optimizer.param_groups[0]["lr"].fill_(0.001)
    assert read(configured, optimizer)[0][0]["lr"] == 0.25
