"""Gradients belong to one step of one optimizer: its own step that crosses the interval, or its first one after it."""

import math

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from puffer_callbacks import GradientCallback, HistogramCallback
from puffer_callbacks.adapters import Loop
from puffer_callbacks.loggers import MemoryLogger
from puffer_callbacks.recorder import clipping
from puffer_callbacks.recorder.optimizer_schedule import OptimizerSchedule, OptimizerStep
from puffer_callbacks.schedule import Every

ONES = torch.ones(1, 2)
NORM = math.sqrt(3)
"""Of the gradient of ``nn.Linear(2, 1)(ONES).sum()``: two weights and a bias, 1 each."""


class Manual(pl.LightningModule):
    """Manual optimization of several linear layers; ``updates(step)`` lists the layers that step, with a factor."""

    def __init__(self, updates, *, batches=12, layers=("net",), clip=None):
        super().__init__()
        self.automatic_optimization = False
        self.layers, self.updates, self.batches, self.clip = layers, updates, batches, clip
        for name in layers:
            setattr(self, name, nn.Linear(2, 1))

    def training_step(self, batch, batch_idx):
        optimizers = self.optimizers()
        by_name = dict(zip(self.layers, optimizers if isinstance(optimizers, list) else [optimizers], strict=True))
        for name, factor in self.updates(batch_idx + 1):
            layer = getattr(self, name)
            by_name[name].zero_grad()
            self.manual_backward(layer(ONES).sum() * factor)
            if self.clip is not None:
                self.clip(layer)
            by_name[name].step()

    def configure_optimizers(self):
        return [torch.optim.SGD(getattr(self, name).parameters(), lr=1e-6) for name in self.layers]

    def train_dataloader(self):
        return range(self.batches)


def fit(quiet_trainer, logger, module, *callbacks, **arguments):
    quiet_trainer(logger=logger, callbacks=list(callbacks), **arguments).fit(module)


def approx(points):
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in points]


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


def test_many_optimizer_steps_in_one_training_step(quiet_trainer, memory_logger):
    module = Manual(lambda step: [("net", 10 * (step - 1) + at) for at in range(1, 11)])  # the factor is the step
    fit(quiet_trainer, memory_logger, module, GradientCallback(25), HistogramCallback(25))
    crossings = [25, 50, 75, 100]
    ends = [30, 50, 80, 100]  # of the training steps that they lie in, where rows stand
    expected = approx([(end, at * NORM) for end, at in zip(ends, crossings, strict=True)])
    assert memory_logger.series("gradient_norm/net") == expected
    assert memory_logger.series("gradient_norm/total") == memory_logger.series("gradient_norm/clipped") == expected
    histograms = memory_logger.series("gradients/net.weight")
    assert [(end, histogram.max) for end, histogram in histograms] == [(10, 1), *zip(ends, crossings, strict=True)]
    assert steps(memory_logger, "weights/net.weight") == [10, *ends, 120]


def test_the_noise_scale_of_training_steps_that_are_longer_than_the_interval(quiet_trainer, memory_logger):
    module = Manual(lambda step: [("net", 1 + at % 2) for at in range(130)], batches=3)
    fit(quiet_trainer, memory_logger, module, GradientCallback(50))
    # gradients g and 2g in turn: |G|² is 2 g², and tr(Σ) the mean of g² and 4 g² less that
    assert memory_logger.series("gradient_noise_scale") == [(x, pytest.approx(0.25)) for x in (130, 260, 390)]


def test_two_optimizers_in_each_training_step(quiet_trainer, memory_logger):
    module = Manual(lambda step: [("critic", step), ("actor", 2 * step)], layers=("critic", "actor"))
    fit(quiet_trainer, memory_logger, module, GradientCallback(5))
    assert memory_logger.series("gradient_norm/critic") == approx([(5, 5 * NORM), (10, 10 * NORM)])
    assert memory_logger.series("gradient_norm/actor") == approx([(5, 10 * NORM), (10, 20 * NORM)])
    total = approx([(5, math.hypot(5, 10) * NORM), (10, math.hypot(10, 20) * NORM)])
    assert memory_logger.series("gradient_norm/total") == memory_logger.series("gradient_norm/clipped") == total


def test_a_delayed_actor_is_measured_at_its_first_step_after_the_crossing(quiet_trainer, memory_logger):
    def updates(step):
        return [("critic", step)] + ([("actor", step)] if step % 3 == 1 else [])

    module = Manual(updates, layers=("critic", "actor"))
    fit(quiet_trainer, memory_logger, module, GradientCallback(5), HistogramCallback(5))
    assert memory_logger.series("gradient_norm/critic") == approx([(5, 5 * NORM), (10, 10 * NORM)])
    assert memory_logger.series("gradient_norm/actor") == approx([(7, 7 * NORM), (10, 10 * NORM)])
    total = approx([(5, 5 * NORM), (10, math.hypot(10, 10) * NORM)])
    assert memory_logger.series("gradient_norm/total") == total
    factors = [(step, histogram.max) for step, histogram in memory_logger.series("gradients/actor.bias")]
    assert factors == [(1, 1), (7, 7), (10, 10)]


@pytest.mark.parametrize(("delay", "every"), [(2, 4), (3, 6), (4, 5), (3, 7)])
def test_the_noise_scale_of_a_delayed_actor(quiet_trainer, memory_logger, delay, every):
    """Its step before the measured one is ``delay`` steps of the critic away, not one."""

    def updates(step):
        return [("critic", step)] + ([("actor", step)] if step % delay == 0 else [])

    module = Manual(updates, batches=40, layers=("critic", "actor"))
    fit(quiet_trainer, memory_logger, module, GradientCallback(every))
    noise, signal, expected = 0.0, 0.0, []
    critic, actor = (steps(memory_logger, f"gradient_norm/{name}") for name in ("critic", "actor"))
    for at in sorted({*critic, *actor}):
        measured = [(at - gap, at) for gap, measured_at in ((1, critic), (delay, actor)) if at in measured_at]
        if all(first > 0 for first, _ in measured):
            inner = sum(3 * first * second for first, second in measured)
            noise += 0.1 * (sum(3 * (first**2 + second**2) / 2 for first, second in measured) - inner - noise)
            signal += 0.1 * (inner - signal)
            expected.append((at, noise / signal))
    assert len(expected) > 4
    assert memory_logger.series("gradient_noise_scale") == approx(expected)


def test_parameters_of_one_module_in_two_optimizers(quiet_trainer, memory_logger):
    class Split(Manual):
        def training_step(self, batch, batch_idx):
            weight, bias = self.optimizers()
            weight.zero_grad(), bias.zero_grad()
            self.manual_backward(self.net(ONES).sum())
            weight.step(), bias.step()

        def configure_optimizers(self):
            return [torch.optim.SGD([self.net.weight], lr=1e-6), torch.optim.SGD([self.net.bias], lr=1e-6)]

    fit(quiet_trainer, memory_logger, Split(None), GradientCallback(5), HistogramCallback(5))
    for tag in ("gradient_norm/net", "gradient_norm/total"):
        assert memory_logger.series(tag) == approx([(5, NORM), (10, NORM)])
    assert steps(memory_logger, "gradients/net.weight") == steps(memory_logger, "gradients/net.bias") == [1, 5, 10]
    assert {"update_ratio/net.weight", "update_ratio/net.bias"} <= set(memory_logger.tags)


class Quadratic(pl.LightningModule):
    """Minimizes |Aw − b|² with LBFGS, whose line search evaluates the closure several times a step."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([3.0, -2.0]))
        self.evaluations, self.first = [], []

    def training_step(self, batch, batch_idx):
        matrix = torch.tensor([[2.0, 0.3], [0.3, 1.0]])
        self.evaluations.append(batch_idx)
        if self.evaluations.count(batch_idx) == 1:
            self.first.append((2 * matrix.T @ (matrix @ self.weight - 1.0)).norm().item())  # by hand
        return (matrix @ self.weight - 1.0).square().sum()

    def configure_optimizers(self):
        return torch.optim.LBFGS([self.weight], lr=0.05, max_iter=4, line_search_fn="strong_wolfe")

    def train_dataloader(self):
        return range(6)


def test_a_closure_that_is_evaluated_several_times(quiet_trainer, memory_logger):
    module = Quadratic()
    fit(quiet_trainer, memory_logger, module, GradientCallback(2), HistogramCallback(2))
    assert len(module.evaluations) > 2 * 6
    assert memory_logger.series("gradient_norm/total") == approx([(at, module.first[at - 1]) for at in (2, 4, 6)])
    squares = [(step, each.sum_squares) for step, each in memory_logger.series("gradients/weight")]
    assert squares == approx([(at, module.first[at - 1] ** 2) for at in (1, 2, 4, 6)])


def test_a_step_that_the_gradient_scaler_skips_is_not_measured(quiet_trainer, memory_logger):
    class Scaled(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 1)

        def training_step(self, batch, batch_idx):
            return {"loss": self.net(torch.ones(2, 4)).sum()}

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

        def train_dataloader(self):
            return range(8)

    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**18)  # beyond float16 until it has halved four times
    plugin = MixedPrecision("16-mixed", "cpu", scaler=scaler)
    callbacks = [GradientCallback(1), HistogramCallback(1)]
    fit(quiet_trainer, memory_logger, Scaled(), *callbacks, plugins=[plugin])
    norm = math.sqrt(5 * 2**2)  # two samples: each of four weights and the bias has 2
    taken = memory_logger.series("gradient_norm/total")
    assert taken == approx([(step, norm) for step in range(1, len(taken) + 1)])
    assert 0 < len(taken) < 8
    assert [each.nonfinite for _, each in memory_logger.series("gradients/net.weight")] == [0] * len(taken)


def clip_by_name(layer):
    clip_grad_norm_(layer.parameters(), 0.5)


def clip_by_attribute(layer):
    torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)


@pytest.mark.parametrize("clip", [clip_by_name, clip_by_attribute])
def test_norms_before_and_after_a_clip_in_manual_optimization(quiet_trainer, memory_logger, clip):
    module = Manual(lambda step: [("net", step)], clip=clip)
    fit(quiet_trainer, memory_logger, module, GradientCallback(5))
    assert memory_logger.series("gradient_norm/total") == approx([(5, 5 * NORM), (10, 10 * NORM)])
    clipped = [(step, pytest.approx(0.5, rel=1e-5)) for step in (5, 10)]
    assert memory_logger.series("gradient_norm/clipped") == clipped


@pytest.mark.parametrize("clip", [clip_by_name, clip_by_attribute])
def test_norms_before_and_after_a_clip_in_a_loop(memory_logger, clip):
    run_loop(memory_logger, clip, GradientCallback(2))
    assert memory_logger.series("gradient_norm/total") == approx([(2, 2 * NORM), (4, 4 * NORM)])
    assert [value for _, value in memory_logger.series("gradient_norm/clipped")] == pytest.approx([0.5] * 2, rel=1e-5)


def run_loop(memory_logger, clip, *callbacks):
    """Four steps with gradients of 1 to 4, clipped."""
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    with Loop(memory_logger, list(callbacks)) as loop:
        loop.fit_start(net, {})
        for step in range(1, 5):
            optimizer.zero_grad()
            (net(ONES).sum() * step).backward()
            clip(net)
            optimizer.step()
            loop.step({"loss": 1.0})


def scale_by_hand(layer):
    scale = 0.5 / math.sqrt(sum(parameter.grad.square().sum().item() for parameter in layer.parameters()))
    for parameter in layer.parameters():
        parameter.grad.mul_(scale)


def replace_by_hand(layer):
    for parameter in layer.parameters():
        parameter.grad = parameter.grad.clamp(-0.1, 0.1)


def clamp_data(layer):
    for parameter in layer.parameters():
        parameter.grad.data.clamp_(-0.1, 0.1)


def clip_values_by_name(layer):
    clip_grad_value_(layer.parameters(), 0.1)


UNSEEN = {scale_by_hand: 0.5, replace_by_hand: 0.1 * NORM, clamp_data: 0.1 * NORM, clip_values_by_name: 0.1 * NORM}
"""Clips that are not seen, and the norm that they leave: each of the three numbers is clipped to 0.1, or all to 0.5."""


@pytest.mark.parametrize("clip", UNSEEN)
def test_the_tags_say_where_a_clip_was_not_seen(quiet_trainer, memory_logger, clip):
    module = Manual(lambda step: [("net", step)], clip=clip)
    fit(quiet_trainer, memory_logger, module, GradientCallback(5), HistogramCallback(5))
    left = [(step, pytest.approx(UNSEEN[clip], rel=1e-5)) for step in (5, 10)]
    assert memory_logger.series("gradient_norm/clipped") == memory_logger.series("gradient_norm/clipped/net") == left
    assert steps(memory_logger, "gradients/clipped/net.weight") == [1, 5, 10]
    before = ("gradient_norm/total", "gradient_norm/net", "gradients/net.weight", "gradient_noise_scale")
    assert not set(before) & set(memory_logger.tags)


@pytest.mark.parametrize("clip", UNSEEN)
def test_the_tags_say_where_a_clip_was_not_seen_in_a_loop(memory_logger, clip):
    run_loop(memory_logger, clip, GradientCallback(2), HistogramCallback(2))
    left = [(step, pytest.approx(UNSEEN[clip], rel=1e-5)) for step in (2, 4)]
    assert memory_logger.series("gradient_norm/clipped") == left
    assert steps(memory_logger, "gradient_norm/clipped/weight") == [2, 4]
    assert steps(memory_logger, "gradients/clipped/weight") == [1, 2, 4]
    assert not {"gradient_norm/total", "gradient_norm/weight", "gradients/weight"} & set(memory_logger.tags)


def clip_values_by_attribute(layer):
    torch.nn.utils.clip_grad_value_(layer.parameters(), 0.1)


def clip_values_by_module(layer):
    torch.nn.utils.clip_grad.clip_grad_value_(layer.parameters(), 0.1)


def clip_with_norm(layer):
    parameters = list(layer.parameters())
    norm = torch.nn.utils.get_total_norm([parameter.grad for parameter in parameters])
    torch.nn.utils.clip_grads_with_norm_(parameters, 0.1 * NORM, norm)


def noise_scales(gradients, *, every):
    """The paper's estimate from the gradients of each measured step and the one before, with batches of one."""
    found, noise, signal = [], 0.0, 0.0
    for step in range(max(every, 2), len(gradients) + 1, every):
        first, second = gradients[step - 2], gradients[step - 1]
        noise += 0.1 * ((first @ first + second @ second) / 2 - first @ second - noise)
        signal += 0.1 * (first @ second - signal)
        found.append((step, noise / signal))
    return found


def steps_with_noise(memory_logger, *callbacks, clip=None, resumed_at=None, skips=()):
    """A loop of 20 steps with gradients that vary; those of the steps that were taken.

    Args:
        resumed_at: a step at which a new loop continues from the first one's state.
        skips: indices of backward passes after whose clip the step is left out.
    """
    net = nn.Linear(4, 2, dtype=torch.float64)
    optimizer, gradients, attempts = torch.optim.SGD(net.parameters(), lr=0.0), [], iter(range(100))
    loop = Loop(memory_logger if resumed_at is None else MemoryLogger(), list(callbacks))
    loop.fit_start(net, {})
    while len(gradients) < 20:
        if len(gradients) == resumed_at:
            state, resumed_at = loop.state_dict(), None
            loop.close()
            loop = Loop(memory_logger, list(callbacks))
            loop.load_state_dict(state)
            loop.fit_start(net, {})
        optimizer.zero_grad()
        (net(torch.rand(1, 4, dtype=torch.float64)) - 3).square().sum().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in net.parameters()]).numpy().copy()
        if clip is not None:
            clip(net)
        if next(attempts) in skips:
            continue
        gradients.append(gradient)
        optimizer.step()
        loop.step({"loss": 1.0}, batch=torch.zeros(1))
    loop.close()
    return gradients


@pytest.mark.parametrize("resumed_at", [None, 4, 5, 9])
@pytest.mark.parametrize("every", [1, 5])
@pytest.mark.parametrize("clip", [None, clip_by_name, clip_values_by_attribute])
def test_a_clip_costs_the_noise_scale_no_step(memory_logger, clip, every, resumed_at):
    gradients = steps_with_noise(memory_logger, GradientCallback(every), clip=clip, resumed_at=resumed_at)
    expected = [
        point for point in noise_scales(gradients, every=every) if point[1] > 0 and point[0] > (resumed_at or 0)
    ]
    points = memory_logger.series("gradient_noise_scale") if "gradient_noise_scale" in memory_logger.tags else []
    found = [point for point in points if point[0] > (resumed_at or 0)]
    assert found == approx(expected)


@pytest.mark.parametrize("resumed_at", [None, 8])
def test_the_noise_scale_of_steps_that_are_not_reported_is_in_examples_too(memory_logger, resumed_at):
    """A loop may report a whole update of several steps, with a batch of its own."""
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    loop = Loop(memory_logger, [GradientCallback(5)])
    loop.fit_start(net, {})
    for step in range(1, 13):
        optimizer.zero_grad()
        (net(ONES).sum() * step).backward()
        optimizer.step()
        if step % 4 == 0:
            loop.step({"loss": 1.0}, batch=torch.zeros(8, 2))
        if step == resumed_at:
            state = loop.state_dict()
            loop.close()
            loop = Loop(memory_logger, [GradientCallback(5)])
            loop.load_state_dict(state)
            loop.fit_start(net, {})
    loop.close()
    noise, signal, expected = 0.0, 0.0, []
    for step in (5, 10):
        noise = 0.9 * noise + 0.1 * 8 * 3 * ((step**2 + (step - 1) ** 2) / 2 - step * (step - 1))
        signal = 0.9 * signal + 0.1 * 3 * step * (step - 1)
        expected.append((step, noise / signal))
    assert memory_logger.series("gradient_noise_scale") == approx(expected)


@pytest.mark.parametrize("skips", [{4}, {4, 5}, {9}, {0, 4, 10}, {14, 17}])
@pytest.mark.parametrize("every", [1, 5])
def test_a_step_that_is_left_out_after_its_clip_is_not_measured(memory_logger, every, skips):
    callbacks = [GradientCallback(every), HistogramCallback(every)]
    gradients = steps_with_noise(memory_logger, *callbacks, clip=clip_by_name, skips=skips)
    norms = [(step, float(np.linalg.norm(gradients[step - 1]))) for step in range(every, 21, every)]
    assert memory_logger.series("gradient_norm/total") == approx(norms)
    squares = [(step, each.sum_squares) for step, each in memory_logger.series("gradients/bias")]
    assert squares == approx([(step, float(np.square(gradients[step - 1][-2:]).sum())) for step, _ in squares])


@pytest.mark.parametrize("clip", [clip_values_by_attribute, clip_values_by_module, clip_with_norm])
def test_every_clip_of_torchs_is_seen(memory_logger, clip):
    run_loop(memory_logger, clip, GradientCallback(2))
    assert memory_logger.series("gradient_norm/total") == approx([(2, 2 * NORM), (4, 4 * NORM)])
    assert [value for _, value in memory_logger.series("gradient_norm/clipped")] == pytest.approx([0.1 * NORM] * 2)


def test_what_a_scaler_divides_by_is_no_clip(memory_logger):
    scaler, net = torch.amp.GradScaler("cpu", init_scale=1024.0), nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    with Loop(memory_logger, [GradientCallback(2)]) as loop:
        loop.fit_start(net, {})
        for step in range(1, 5):
            optimizer.zero_grad()
            scaler.scale(net(ONES).sum() * step).backward()
            scaler.step(optimizer)
            scaler.update()
            loop.step({"loss": 1.0})
    assert memory_logger.series("gradient_norm/total") == approx([(2, 2 * NORM), (4, 4 * NORM)])


@pytest.mark.parametrize("skips", [{3}, {4}, {3, 4}, {4, 5}, {1, 4, 5, 9}])
@pytest.mark.parametrize("every", [1, 5])
def test_a_step_that_a_scaler_skips_costs_the_noise_scale_no_step(quiet_trainer, memory_logger, every, skips):
    """Lightning announces it, and then the next one at the same count."""
    gradients = []

    class Overflows(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(4, 2)

        def training_step(self, batch, batch_idx):
            return (self.net(batch) - 3).square().sum() * (math.inf if batch_idx in skips else 1.0)

        def on_before_optimizer_step(self, optimizer):
            gradient = torch.cat([parameter.grad.double().flatten() for parameter in self.parameters()])
            if gradient.isfinite().all():
                gradients.append(gradient.numpy())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.0)

        def train_dataloader(self):
            return torch.rand(20 + len(skips), 1, 4)

    plugin = MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=1024.0))
    fit(quiet_trainer, memory_logger, Overflows(), GradientCallback(every), plugins=[plugin])
    assert len(gradients) == 20
    expected = [(step, value) for step, value in noise_scales(gradients, every=every) if value > 0]
    assert len(expected) >= 20 // every - 1
    found = memory_logger.series("gradient_noise_scale")
    assert found == [(step, pytest.approx(value, rel=1e-3)) for step, value in expected]


def test_several_backward_passes_of_one_step_are_no_clip(memory_logger):
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-6)
    with Loop(memory_logger, [GradientCallback(2)]) as loop:
        loop.fit_start(net, {})
        for step in range(1, 5):
            optimizer.zero_grad(set_to_none=step % 3 == 0)
            for _ in range(3):
                (net(ONES).sum() * step).backward()
            optimizer.step()
            loop.step({"loss": 1.0})
    assert memory_logger.series("gradient_norm/total") == approx([(2, 6 * NORM), (4, 12 * NORM)])


def test_parameters_have_hooks_only_before_a_step_that_is_measured(quiet_trainer, memory_logger):
    counts = []

    def count(layer):
        counts.append(sum(len(each._post_accumulate_grad_hooks or ()) for each in layer.parameters()))

    module = Manual(lambda step: [("net", step)], clip=count)
    fit(quiet_trainer, memory_logger, module, GradientCallback(5))
    watched = {1: 3, 5: 3, 10: 3}  # the first step, and each measured one; one of the two parameters has two hooks
    assert counts == [watched.get(step, 0) for step in range(1, 13)]
    assert sum(len(each._post_accumulate_grad_hooks or ()) for each in module.parameters()) == 0


def test_accumulated_gradients_are_whole(quiet_trainer, memory_logger):
    class Accumulates(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def training_step(self, batch, batch_idx):
            return self.net(ONES).sum() * (batch_idx + 1)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

        def train_dataloader(self):
            return range(16)

    fit(quiet_trainer, memory_logger, Accumulates(), GradientCallback(2), accumulate_grad_batches=4)
    means = np.arange(1, 17).reshape(4, 4).mean(1)
    expected = approx([(2, means[1] * NORM), (4, means[3] * NORM)])
    assert memory_logger.series("gradient_norm/total") == expected


def test_torchs_functions_are_themselves_again(quiet_trainer, memory_logger):
    assert not clipping._callbacks, "of a run that another test left open"
    replaced = [*clipping._CLIPS, (torch.nn.utils, "clip_grad_norm_"), (torch.amp.GradScaler, "unscale_")]
    before = [getattr(owner, name) for owner, name in replaced]
    seen = []

    def clip(layer):
        seen.append(any(getattr(*function) is before[at] for at, function in enumerate(clipping._CLIPS)))
        torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5)

    fit(quiet_trainer, memory_logger, Manual(lambda step: [("net", step)], clip=clip), GradientCallback(5))
    assert seen == [False] * 12
    assert [getattr(owner, name) for owner, name in replaced] == before


def step(count, *, index=0):
    return OptimizerStep(index=index, count=count, optimizer_steps=count)


def test_a_schedule_is_due_at_a_crossing_or_at_the_first_step_after_it():
    schedule = OptimizerSchedule(Every(10))
    assert not schedule.is_due(step(9))
    assert schedule.is_due(step(10)) and schedule.is_due(step(13))
    schedule.mark(step(13))
    assert not schedule.is_due(step(19)) and schedule.is_due(step(20))


def test_a_schedule_counts_each_optimizer_for_itself():
    schedule = OptimizerSchedule(Every(10))
    schedule.mark(step(10, index=0))
    assert not schedule.is_due(step(11, index=0)) and schedule.is_due(step(11, index=1))
    assert (schedule.called_from(0), schedule.called_from(1)) == (20, 10)


def test_a_schedule_calls_ahead_and_resumes_within_an_interval():
    schedule = OptimizerSchedule(Every(10), lead_steps=1)
    assert schedule.called_from(0) == 9
    schedule.resume_at(25)
    assert schedule.called_from(0) == 29
    assert not schedule.is_due(step(29)) and schedule.is_due(step(30))


def test_a_schedule_at_the_start_is_due_at_the_first_step():
    schedule = OptimizerSchedule(Every(10, at_start=True))
    assert schedule.is_due(step(1))
    schedule.mark(step(1))
    assert not schedule.is_due(step(2)) and schedule.is_due(step(10))


@pytest.mark.parametrize("interval", [2, 5])
@pytest.mark.parametrize("period", [3, 6])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_an_own_clip_is_seen_at_an_optimizer_that_steps_only_sometimes(
    quiet_trainer, memory_logger, first, period, interval
):
    """It is measured at its first step after the interval; each gradient is clipped."""

    class Delayed(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.automatic_optimization = False
            self.critic, self.actor = nn.Linear(2, 1), nn.Linear(2, 1)

        def training_step(self, batch, batch_idx):
            steps = [0, 1] if batch_idx + 1 >= first and (batch_idx + 1 - first) % period == 0 else [0]
            for at in steps:
                optimizer, net = self.optimizers()[at], (self.critic, self.actor)[at]
                optimizer.zero_grad()
                self.manual_backward(3 * net(ONES).sum())
                for parameter in net.parameters():
                    parameter.grad.data.clamp_(-1, 1)
                optimizer.step()
            return {}

        def configure_optimizers(self):
            return [torch.optim.SGD(net.parameters(), lr=1e-6) for net in (self.critic, self.actor)]

        def train_dataloader(self):
            return range(20)

    fit(quiet_trainer, memory_logger, Delayed(), GradientCallback(interval), HistogramCallback(interval))
    tags = {tag for tag in memory_logger.tags if tag.startswith("gradient")}
    assert "gradient_norm/clipped/actor" in tags and "gradients/clipped/actor.weight" in tags
    assert (
        not {"gradient_norm/actor", "gradient_norm/critic", "gradients/actor.weight", "gradients/critic.weight"} & tags
    )
    assert all(value == pytest.approx(3**0.5) for _, value in memory_logger.series("gradient_norm/clipped/actor"))


@pytest.mark.parametrize(("interval", "clips"), [(1, lambda step: step % 2 == 0), (5, lambda step: step % 5 == 0)])
def test_a_clip_at_some_steps_alone_hides_no_step(quiet_trainer, memory_logger, interval, clips):
    class Sometimes(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = nn.Linear(2, 1)

        def training_step(self, batch, batch_idx):
            return 3 * self.net(ONES).sum()

        def configure_gradient_clipping(self, optimizer, gradient_clip_val=None, gradient_clip_algorithm=None):
            if clips(self.trainer.global_step + 1):
                self.clip_gradients(optimizer, gradient_clip_val=0.5, gradient_clip_algorithm="norm")

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=1e-6)

        def train_dataloader(self):
            return range(20)

    fit(quiet_trainer, memory_logger, Sometimes(), GradientCallback(interval))
    norms = memory_logger.series("gradient_norm/total")
    assert norms == [(step, pytest.approx(27**0.5)) for step in range(interval, 21, interval)]
    after = memory_logger.series("gradient_norm/clipped")
    assert after == [(step, pytest.approx(0.5 if clips(step) else 27**0.5, rel=1e-5)) for step, _ in norms]
    assert steps(memory_logger, "gradient_noise_scale") == [
        step for step, _ in norms if step > 1
    ]  # which has one before


def test_a_compiled_clip_is_compiled_once(quiet_trainer, memory_logger):
    compilations = []

    def backend(graph, _):
        compilations.append(graph)
        return graph.forward

    compiled = torch.compile(lambda layer: torch.nn.utils.clip_grad_norm_(layer.parameters(), 0.5), backend=backend)
    fit(quiet_trainer, memory_logger, Manual(lambda step: [("net", step)], clip=compiled), GradientCallback(5))
    assert len(compilations) == 1
    torch.compiler.reset()


class CountsCalls(GradientCallback):
    """Keeps the run's steps at which each optimizer was looked at."""

    def __init__(self, every_n_steps):
        super().__init__(every_n_steps)
        self.called_at = {}

    def before_optimizer_step(self, trainer, pl_module, optimizer, step):
        self.called_at.setdefault(step.index, []).append(step.optimizer_steps)
        return super().before_optimizer_step(trainer, pl_module, optimizer, step)


def test_an_optimizer_of_a_bare_tensor_is_not_looked_at_in_between(memory_logger):
    """SAC's temperature: it has no name, so nothing of it is measured, and it would stay due for ever."""
    net, temperature = nn.Linear(2, 1), torch.zeros(1, requires_grad=True)
    optimizers = [torch.optim.SGD([tensor], lr=1e-6) for tensor in (net.weight, temperature)]
    gradients = CountsCalls(10)
    with Loop(memory_logger, [gradients]) as loop:
        loop.fit_start(net, {}, optimizers=optimizers)
        for _ in range(40):
            for optimizer, tensor in zip(optimizers, (net.weight, temperature), strict=True):
                optimizer.zero_grad()
                tensor.sum().backward()
                optimizer.step()
            loop.step({})
    assert steps(memory_logger, "gradient_norm/clipped") == [10, 20, 30, 40]
    in_between = [at for called_at in gradients.called_at.values() for at in called_at if at % 10 in range(3, 9)]
    assert in_between == []
