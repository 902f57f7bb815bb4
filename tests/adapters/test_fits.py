"""Fits one after the other and at once: which of them are one run, and which end another."""

import pytest
import torch
from torch import nn

from puffer_callbacks import (
    HealthCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    Rollout,
    default_callbacks,
)
from puffer_callbacks.adapters import Loop
from tests.support.warned import warned


def network():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def update(module):
    module(torch.ones(2, 4)).sum().backward()
    module.optimizer.step()


def trained_by(loop, *, returns, module=None, first_step=0, as_parts=False):
    """A fit of as many rollouts of eight environment steps as there are returns, each with one episode."""
    module = network() if module is None else module
    module.optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    done = first_step
    parts = {"body": module[0], "head": module[2]} if as_parts else module
    loop.fit_start(parts, optimizers=module.optimizer, env_steps=lambda: done)
    for value in returns:
        done += 8
        loop.rollout_end(Rollout(episode_returns=torch.tensor([value]), env_steps=done))
        update(module)
        loop.step({"loss": 1.0})
    return module


@pytest.mark.parametrize("same_module", [True, False])
def test_a_fit_whose_environment_steps_begin_anew_is_a_new_run(same_module):
    logger = MemoryLogger()
    loop = Loop(logger, [Recorder(overhead_budget=1.0), *default_callbacks(metrics=1)])
    module = trained_by(loop, returns=[1.0, 3.0])
    loop.close()
    with warned() as reported:
        trained_by(loop, returns=[10.0, 20.0, 30.0], module=module if same_module else None)
        loop.close()
    assert logger.series("rollout/return_last_100") == [(8, 1.0), (16, 2.0), (8, 10.0), (16, 15.0), (24, 20.0)]
    assert logger.series("time/optimizer_steps") == [(8, 1.0), (16, 2.0), (8, 1.0), (16, 2.0), (24, 3.0)]
    assert len(reported) == 1
    assert "of an earlier run; both runs are kept" in reported[0]


@pytest.mark.parametrize("closes", [True, False])
def test_a_count_that_is_a_tensor_set_to_zero_in_place_begins_anew(closes):
    logger, module = MemoryLogger(), network()
    module.register_buffer("env_steps", torch.tensor(0))
    module.optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    loop = Loop(logger, [Recorder(overhead_budget=1.0), MetricsCallback(4)])
    with warned() as reported:
        for updates in (6, 4):
            module.env_steps.zero_()
            loop.fit_start(module)
            for at in range(updates):
                module.env_steps += 8
                update(module)
                loop.step({"loss": float(at)})
            if closes:
                loop.close()
        loop.close()
    assert logger.series("train/loss") == [(32, 1.5), (48, 4.5), (32, 1.5)]
    assert len(reported) == 1
    assert "got rows up to step 48 of an earlier run; both runs are kept" in reported[0]


@pytest.mark.parametrize("counts", ["function", "module"])
def test_a_fit_left_open_ends_where_it_stood_though_the_next_counts_from_zero_before_it_begins(counts):
    """As a cell of a notebook that is interrupted and run again."""
    logger = MemoryLogger()
    loop = Loop(logger, [Recorder(overhead_budget=1.0), MetricsCallback(4)])
    module = network()
    module.optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    with warned() as reported:
        for updates in (6, 4):
            module.env_steps = 0
            loop.fit_start(module, env_steps=(lambda: module.env_steps) if counts == "function" else None)
            for at in range(updates):
                module.env_steps += 8
                update(module)
                loop.step({"loss": float(at)})
        loop.close()
    assert logger.series("train/loss") == [(32, 1.5), (48, 4.5), (32, 1.5)]
    assert logger.series("time/optimizer_steps") == [(32, 4.0), (48, 6.0), (32, 4.0)]
    assert len(reported) == 1
    assert "got rows up to step 48 of an earlier run; both runs are kept" in reported[0]


def test_a_fit_whose_environment_steps_go_on_is_the_next_part_of_the_run():
    logger = MemoryLogger()
    loop = Loop(logger, [Recorder(overhead_budget=1.0), *default_callbacks(metrics=1)])
    module = trained_by(loop, returns=[1.0, 3.0])
    loop.close()
    trained_by(loop, returns=[5.0], module=module, first_step=16)
    loop.close()
    assert logger.series("rollout/return_last_100") == [(8, 1.0), (16, 2.0), (24, 3.0)]
    assert logger.series("time/optimizer_steps") == [(8, 1.0), (16, 2.0), (24, 3.0)]


@pytest.mark.parametrize("as_parts", [True, False])
def test_a_second_loop_of_a_module_ends_the_first_with_a_warning(as_parts):
    one, other = MemoryLogger(), MemoryLogger()
    first, second = Loop(one, MetricsCallback(1)), Loop(other, MetricsCallback(1))
    module = trained_by(first, returns=[1.0], as_parts=as_parts)
    with warned() as reported:
        trained_by(second, returns=[2.0], module=module, as_parts=as_parts)
    second.close()
    assert [line for line in reported if "expected a module without an open fit, got one of another Loop" in line]
    assert len(reported) == 1
    assert not first.is_open
    assert one.series("train/loss") == other.series("train/loss") == [(8, 1.0)]


def test_a_second_loop_with_the_same_callbacks_is_a_new_run():
    callbacks = [Recorder(overhead_budget=1.0), *default_callbacks(metrics=1)]
    loggers = [MemoryLogger(), MemoryLogger()]
    for logger in loggers:
        loop = Loop(logger, callbacks)
        trained_by(loop, returns=[1.0, 3.0])
        loop.close()
    for logger in loggers:
        assert logger.series("rollout/return_last_100") == [(8, 1.0), (16, 2.0)]
        assert logger.series("time/optimizer_steps") == [(8, 1.0), (16, 2.0)]


def test_loops_of_two_modules_live_side_by_side():
    loggers = [MemoryLogger(), MemoryLogger()]
    loops = [Loop(logger, MetricsCallback(1)) for logger in loggers]
    for loop in loops:
        trained_by(loop, returns=[1.0])
    for loop in loops:
        loop.close()
    assert [logger.series("train/loss") for logger in loggers] == [[(8, 1.0)], [(8, 1.0)]]


def test_what_callbacks_keep_in_inference_mode_can_be_changed_outside_of_it():
    loop = Loop(None, [Recorder(strict=True), HealthCallback()])
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.01)
    loop.fit_start(module)
    for _ in range(2):
        with torch.inference_mode():
            loop.episodes(1.0, 8)
        loop.rollout_end(Rollout(advantages=torch.randn(8, 1)))
        module(torch.ones(2, 4)).sum().backward()
        optimizer.step()
        loop.step({"loss": 1.0})
    loop.close()


def test_a_callback_calls_the_module_on_a_rollout_of_inference_mode():
    class Calls(PufferCallback):
        def on_rollout_end(self, trainer, pl_module, rollout):
            outputs.append(pl_module(rollout.observations))

    outputs = []
    loop = Loop(None, Calls())
    loop.fit_start(network())
    with torch.inference_mode():
        loop.rollout_end(Rollout(observations=torch.ones(8, 1, 4)))
    loop.close()
    assert [(output.is_inference(), output.requires_grad) for output in outputs] == [(False, False)]


def test_environment_steps_that_cannot_be_counted_yet_are_one_clear_error():
    def train():
        loop = Loop(None, MetricsCallback(1))
        loop.fit_start(network(), env_steps=lambda: collected)
        collected = 0

    with pytest.raises(TypeError, match=r"env_steps: expected a function that returns the environment .* NameError"):
        train()
