"""Gradients that are added to those of the step before are found; those that are zeroed in any way are not."""

from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from puffer_callbacks import GradientCallback
from puffer_callbacks.adapters import Loop
from puffer_callbacks.loggers import MemoryLogger

TAG = "old_gradients/"


class Two:
    """Two networks, each with an optimizer, and the steps that a test takes with them."""

    def __init__(self, **sgd):
        torch.manual_seed(0)
        self.nets = nn.ModuleDict({"one": nn.Linear(3, 1), "two": nn.Linear(1, 1)})
        self.one = torch.optim.SGD(self.nets["one"].parameters(), lr=1e-2, **sgd)
        self.two = torch.optim.SGD(self.nets["two"].parameters(), lr=1e-2, **sgd)

    def loss(self, *, through_two=False):
        found = self.nets["one"](torch.rand(4, 3))
        return (self.nets["two"](found) if through_two else found).square().sum()

    def step(self):
        self.loss().backward()
        self.one.step()


def series(step, *, every=1, steps=6, two=None):
    """The tag's series by parameter, of a loop that calls ``step(two)`` again and again."""
    two, logger = two or Two(), MemoryLogger()
    with Loop(logger, [GradientCallback(every)]) as loop:
        loop.fit_start(two.nets, {}, optimizers=[two.one, two.two])
        for _ in range(steps):
            step(two)
            loop.step({"loss": 0.0})
    return {tag.removeprefix(TAG): [v for _, v in logger.series(tag)] for tag in logger.tags if tag.startswith(TAG)}


def never(two):
    two.step()


def of_another_module(two):
    two.nets["two"].zero_grad()
    two.step()


def after_some_batches(two):
    for _ in range(3):
        two.loss().backward()
    two.one.step()


def in_a_closure(two, *, zeroes):
    def closure():
        if zeroes:
            lbfgs.zero_grad()
        loss = two.loss()
        loss.backward()
        return loss

    lbfgs = two.one
    two.one.step(closure)


def scaled(two, *, zeroes):
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    if zeroes:
        two.one.zero_grad()
    scaler.scale(two.loss()).backward()
    scaler.step(two.one)
    scaler.update()


def clipped(two):
    two.loss().backward()
    nn.utils.clip_grad_norm_(two.nets["one"].parameters(), 0.1)
    two.one.step()


FORGOTTEN = [never, of_another_module, after_some_batches, partial(scaled, zeroes=False), clipped]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("step", FORGOTTEN)
def test_gradients_that_are_never_zeroed_are_old(step, every):
    found = series(step, every=every)
    assert found == {"one.bias": [0.0, *[1.0] * 5] if every == 1 else [1.0] * 3}  # the first step has none before it


def test_a_closure_that_zeroes_nothing():
    two = Two()
    two.one = torch.optim.LBFGS(two.nets["one"].parameters(), lr=1e-3, max_iter=3)
    assert series(partial(in_a_closure, zeroes=False), two=two) == {"one.bias": [0.0, *[1.0] * 5]}


def to_none(two):
    two.one.zero_grad()
    two.step()


def in_place(two):
    two.one.zero_grad(set_to_none=False)
    two.step()


def data_in_place(two):
    for parameter in two.nets.parameters():
        if parameter.grad is not None:
            parameter.grad.data.zero_()
    two.step()


def right_after_the_step(two):
    two.step()
    two.nets.zero_grad()


def once_for_some_batches(two):
    two.one.zero_grad()
    after_some_batches(two)


def decayed(two):
    """Traces, which are meant to stay."""
    for parameter in two.nets["one"].parameters():
        if parameter.grad is not None:
            parameter.grad.mul_(0.9)
    two.step()


def written_over(two):
    """Gradients by ``torch.autograd.grad``, copied into those of the step before."""
    parameters = list(two.nets["one"].parameters())
    for parameter, gradient in zip(parameters, torch.autograd.grad(two.loss(), parameters), strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad.copy_(gradient)
    two.one.step()


def written_over_after_a_pass(two):
    two.loss().backward()
    for parameter in two.nets["one"].parameters():
        parameter.grad.copy_(torch.rand_like(parameter))
    two.one.step()


def with_a_penalty(two):
    two.one.zero_grad()
    loss = two.loss()
    slopes = torch.autograd.grad(loss, list(two.nets["one"].parameters()), create_graph=True)
    (loss + sum(slope.square().sum() for slope in slopes)).backward(create_graph=True)
    two.one.step()


def with_a_retained_graph(two):
    two.one.zero_grad()
    loss = two.loss()
    loss.backward(retain_graph=True)
    loss.backward()
    two.one.step()


SOUND = [to_none, in_place, data_in_place, right_after_the_step, once_for_some_batches, decayed, written_over,
         written_over_after_a_pass, with_a_penalty, with_a_retained_graph, partial(scaled, zeroes=True)]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Using backward:UserWarning")  # of torch's, about cycles of create_graph
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("step", SOUND)
def test_gradients_that_are_zeroed_in_any_way_are_not(step, every):
    assert 1.0 not in {value for values in series(step, every=every).values() for value in values}


def test_a_closure_that_zeroes():
    two = Two()
    two.one = torch.optim.LBFGS(two.nets["one"].parameters(), lr=1e-3, max_iter=3)
    assert series(partial(in_a_closure, zeroes=True), two=two) == {"one.bias": [0.0] * 6}


def adversarial(two, *, zeroed=("one", "two")):
    """The first one's pass leaves gradients in the second, whose own step zeroes them, or does not."""
    for name in ("one", "two"):
        optimizer = getattr(two, name)
        if name in zeroed:
            optimizer.zero_grad()
        two.loss(through_two=True).backward()
        optimizer.step()


def test_what_the_pass_of_another_optimizer_leaves_is_zeroed_later():
    assert series(adversarial) == {"one.bias": [0.0] * 6, "two.weight": [0.0] * 6}


def test_the_optimizer_that_is_not_zeroed_is_named():
    assert series(partial(adversarial, zeroed=("one",))) == {"one.bias": [0.0] * 6, "two.weight": [0.0, *[1.0] * 5]}


def shared(two):
    """Both optimizers hold the same parameters, and each zeroes them before its own pass."""
    for optimizer in (two.one, two.two):
        optimizer.zero_grad()
        two.loss().backward()
        optimizer.step()


def both_by_one_pass(two):
    two.step()
    two.two.step()
    two.nets.zero_grad()


@pytest.mark.parametrize("step", [shared, both_by_one_pass])
def test_parameters_of_two_optimizers(step):
    two = Two()
    two.two = torch.optim.SGD(two.nets["one"].parameters(), lr=1e-2)
    assert series(step, two=two) == {"one.bias": [0.0] * 6}


@pytest.mark.parametrize("step", [never, to_none, adversarial, after_some_batches])
def test_training_is_the_same_to_the_bit(step):
    alone, watched = Two(momentum=0.9), Two(momentum=0.9)
    torch.manual_seed(1)
    for _ in range(6):
        step(alone)
    torch.manual_seed(1)
    series(step, two=watched)
    assert all(map(torch.equal, alone.nets.parameters(), watched.nets.parameters()))


class Averages(pl.LightningModule):
    """Automatic optimization, whose gradients are zeroed or not."""

    def __init__(self, *, zeroes):
        super().__init__()
        self.net, self.zeroes, self.hooks = nn.Linear(3, 1), zeroes, []

    def training_step(self, batch, batch_idx):
        self.hooks.append(len(self.net.bias._backward_hooks or ()))
        return self.net(torch.rand(4, 3)).square().sum()

    def optimizer_zero_grad(self, *args):
        if self.zeroes:
            super().optimizer_zero_grad(*args)

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters())

    def train_dataloader(self):
        return range(48)


@pytest.mark.parametrize("zeroes", [True, False])
@pytest.mark.parametrize("batches", [1, 4])
def test_automatic_optimization(quiet_trainer, memory_logger, zeroes, batches):
    module = Averages(zeroes=zeroes)
    callbacks = [GradientCallback(3)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks, accumulate_grad_batches=batches).fit(module)
    found = {value for _, value in memory_logger.series(f"{TAG}net.bias")}
    assert found == {float(not zeroes)}


def test_a_parameter_has_a_hook_only_before_a_step_that_is_measured(quiet_trainer):
    module = Averages(zeroes=True)
    quiet_trainer(callbacks=[GradientCallback(5)]).fit(module)
    assert [at + 1 for at, hooks in enumerate(module.hooks) if hooks] == [1, *range(5, 49, 5)]
    assert not module.net.bias._backward_hooks


class Odd(nn.Module):
    """A layer, beside smaller parameters, of which none can be followed but the table before its first step."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.Parameter(torch.ones(1), requires_grad=False)
        self.empty = nn.Parameter(torch.ones(0))
        self.lazy = nn.LazyLinear(1, bias=False)
        self.table = nn.Embedding(1, 1, sparse=True)
        self.layer = nn.Linear(3, 2)

    def forward(self, inputs):
        odd = self.lazy(inputs).sum() + self.table(torch.tensor([0])).sum() + self.empty.sum()
        return self.layer(inputs).square().sum() + odd


@pytest.mark.parametrize("zeroes", [True, False])
def test_the_smallest_parameter_that_can_show_it_is_followed(zeroes):
    net, logger = Odd(), MemoryLogger()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    with Loop(logger, [GradientCallback(1)]) as loop:
        loop.fit_start(net, {}, optimizers=[optimizer])
        for _ in range(4):
            if zeroes:
                optimizer.zero_grad()
            net(torch.ones(4, 3)).backward()
            optimizer.step()
            loop.step({"loss": 0.0})
    found = {tag: [value for _, value in logger.series(tag)] for tag in logger.tags if tag.startswith(TAG)}
    assert found == {f"{TAG}table.weight": [0.0], f"{TAG}layer.bias": [float(not zeroes)] * 3}
