"""Snapshots against copies by ``copy.deepcopy``."""

from copy import deepcopy

import torch
from torch import nn

from puffer_callbacks.measure.snapshot import Snapshot


def trained():
    """A module and its optimizer, and a function that makes one step of it."""
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        module(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()

    return module, optimizer, step


def states(module, optimizer):
    return {"module": module.state_dict(), "optimizers": [optimizer.state_dict()]}


def test_it_is_the_state_at_the_last_call():
    module, optimizer, step = trained()
    snapshot = Snapshot(max_bytes=10_000)
    assert not snapshot.is_taken and snapshot.states() == {}
    for learning_rate in (0.1, 0.02, 0.003):  # at the first call the optimizer has no state
        optimizer.param_groups[0]["lr"] = learning_rate
        snapshot.take(module, iter([optimizer]))
        expected = deepcopy(states(module, optimizer))
        step()
        optimizer.param_groups[0]["lr"] = 7.0
        torch.testing.assert_close(snapshot.states(), expected, rtol=0, atol=0)
    assert snapshot.is_taken


def test_of_a_state_that_is_too_large_there_is_no_copy():
    module, optimizer, step = trained()
    step()
    size = sum(tensor.nbytes for tensor in (*module.state_dict().values(), *_moments(optimizer)))
    exact, short = Snapshot(max_bytes=size), Snapshot(max_bytes=size - 1)
    for _ in range(2):
        for snapshot in (exact, short):
            snapshot.take(module, [optimizer])
    assert exact.states().keys() == {"module", "optimizers"}
    assert short.is_taken and short.states() == {}


def _moments(optimizer):
    return [tensor for state in optimizer.state.values() for tensor in state.values()]
