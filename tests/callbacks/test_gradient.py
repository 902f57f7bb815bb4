"""Norms, update ratios and the noise scale against NumPy on what the run itself kept."""

from collections import UserDict
from dataclasses import dataclass

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from puffer_callbacks import GradientCallback, MemoryLogger
from puffer_callbacks.adapters import Loop
from tests.support.regression import Regression


def flat(tensors):
    return np.concatenate([tensor.double().numpy().ravel() for tensor in tensors.values()])


def test_norms_before_and_after_the_clip(quiet_trainer, memory_logger):
    module = Regression(steps=20)
    callbacks = [GradientCallback(every_n_steps=5)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks, gradient_clip_val=0.01).fit(module)
    fired = [4, 9, 14, 19]
    total = memory_logger.series("gradient_norm/total")
    assert [step for step, _ in total] == [5, 10, 15, 20]
    assert np.allclose([v for _, v in total], [np.linalg.norm(flat(module.raw_gradients[i])) for i in fired], rtol=1e-6)
    clipped = [value for _, value in memory_logger.series("gradient_norm/clipped")]
    assert np.allclose(clipped, [np.linalg.norm(flat(module.clipped_gradients[i])) for i in fired], rtol=1e-6)
    assert np.allclose(clipped, 0.01, rtol=1e-4)


def test_module_norms_are_over_the_module_s_own_parameters(quiet_trainer, memory_logger):
    module = Regression(steps=5)
    quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(every_n_steps=5)]).fit(module)
    gradients = module.raw_gradients[4]
    own = {name: gradient for name, gradient in gradients.items() if name.startswith("net.2.")}
    assert memory_logger.series("gradient_norm/net.2")[0][1] == pytest.approx(np.linalg.norm(flat(own)), rel=1e-6)


def test_update_ratio_is_of_the_step_that_was_taken(quiet_trainer, memory_logger):
    module = Regression(steps=10)
    quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(every_n_steps=5)]).fit(module)
    before, after = module.weights[4]["net.0.weight"].double(), module.weights[5]["net.0.weight"].double()
    expected = np.linalg.norm((after - before).numpy()) / np.linalg.norm(before.numpy())
    assert memory_logger.series("update_ratio/net.0.weight")[0][1] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("accumulated", [1, 3])
def test_noise_scale_is_the_paper_s_two_batch_estimate(quiet_trainer, memory_logger, accumulated):
    module = Regression(steps=10 * accumulated)
    callbacks = [GradientCallback(every_n_steps=5)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks, accumulate_grad_batches=accumulated).fit(module)
    small, big, noise, signal = 8 * accumulated, 16 * accumulated, 0.0, 0.0
    for at, (_, found) in zip((4, 9), memory_logger.series("gradient_noise_scale"), strict=True):
        first, second = flat(module.raw_gradients[at - 1]), flat(module.raw_gradients[at])
        norm_small = (first @ first + second @ second) / 2
        norm_big = np.square((first + second) / 2).sum()
        # McCandlish et al. 2018, equations A.2 and A.3
        signal += 0.1 * ((big * norm_big - small * norm_small) / (big - small) - signal)
        noise += 0.1 * ((norm_small - norm_big) / (1 / small - 1 / big) - noise)
        assert found == pytest.approx(noise / signal, rel=1e-5)


@dataclass
class Batch:
    """A batch in a class of the user's own."""

    inputs: torch.Tensor


@pytest.mark.parametrize("wrap", [lambda batch: UserDict(inputs=batch), Batch, lambda batch: (1, [batch])])
def test_the_noise_scale_is_in_examples_of_batches_of_any_kind(quiet_trainer, wrap):
    class Wrapped(Regression):
        def train_dataloader(self):
            return DataLoader(self.inputs, batch_size=None, collate_fn=wrap)

        def training_step(self, batch, batch_idx):
            return super().training_step(self.inputs[batch_idx], batch_idx)

    found = []
    for make in (Regression, Wrapped):
        log = MemoryLogger()
        torch.manual_seed(0)
        quiet_trainer(logger=log, callbacks=[GradientCallback(every_n_steps=2)]).fit(make(steps=4))
        found.append(log.series("gradient_noise_scale"))
    assert found[1] == found[0] != []


def test_sees_accumulated_gradients(quiet_trainer, memory_logger):
    module = Regression(steps=12)
    trainer = quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1)], accumulate_grad_batches=4)
    trainer.fit(module)
    found = [value for _, value in memory_logger.series("gradient_norm/total")]
    assert np.allclose(found, [np.linalg.norm(flat(gradients)) for gradients in module.raw_gradients], rtol=1e-6)
    assert len(found) == 3


class Slope(pl.LightningModule):
    """One weight, whose gradient is ``slope``; from ``replaced_at`` on another weight with ten times the gradient."""

    def __init__(self, slope, *, batches=4, replaced_at=None):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.slope, self.batches, self.replaced_at = slope, batches, replaced_at

    def training_step(self, batch, batch_idx):
        if batch_idx == self.replaced_at:  # as where the last layer is reset to keep a network plastic
            self.weight, self.slope = nn.Parameter(torch.full((1,), 8.0)), 10 * self.slope
            self.trainer.optimizers[0].param_groups[0]["params"] = [self.weight]
        return (self.slope * self.weight).sum()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return range(self.batches)


def test_a_parameter_that_took_another_s_place_is_measured(quiet_trainer, memory_logger):
    quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1)]).fit(Slope(2.0, replaced_at=2))
    assert [value for _, value in memory_logger.series("gradient_norm/total")] == [2.0, 2.0, 20.0, 20.0]
    # weights 1, 0.8, then 8 and 6; updates 0.2, then 2
    ratios = [value for _, value in memory_logger.series("update_ratio/weight")]
    assert ratios == pytest.approx([0.2, 0.25, 0.25, 2 / 6])


def test_a_second_fit_measures_its_own_module(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1)])
    trainer.fit(Slope(2.0, batches=2))
    trainer.fit_loop.max_epochs = 2
    trainer.fit(Slope(5.0, batches=2))
    assert [value for _, value in memory_logger.series("gradient_norm/total")] == [2.0, 2.0, 5.0, 5.0]
    assert [value for _, value in memory_logger.series("update_ratio/weight")] == pytest.approx([0.2, 0.25, 0.5, 1.0])


def test_an_optimizer_of_a_second_fit_has_the_names_of_that_fit_s_module(memory_logger):
    parts = {name: nn.Linear(2, 1, bias=False) for name in ("actor", "critic")}
    optimizer = torch.optim.SGD([each.weight for each in parts.values()], lr=0.1)
    loop = Loop(memory_logger, [GradientCallback(1)])
    for module in (parts["actor"], parts):
        loop.fit_start(module, optimizers=[optimizer])
        for each in parts.values():
            each(torch.ones(2)).sum().backward()
        optimizer.step()
        loop.close()
    found = {tag: [step for step, _ in memory_logger.series(tag)] for tag in memory_logger.tags if "update" in tag}
    assert found == {"update_ratio/weight": [1], "update_ratio/actor.weight": [2], "update_ratio/critic.weight": [2]}


@pytest.mark.parametrize("second", ["same", "other", "replaced"])
def test_the_noise_scale_is_of_two_batches_of_the_same_parameters(quiet_trainer, memory_logger, second):
    """Of gradients that are all alike it is 0; those of another parameter of the same shape are not."""
    trainer = quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1)])
    first = Slope(2.0, batches=4 if second == "replaced" else 2, replaced_at=2 if second == "replaced" else None)
    trainer.fit(first)
    if second != "replaced":
        trainer.fit_loop.max_epochs = 2
        trainer.fit(first if second == "same" else Slope(5.0, batches=2))
    measured = [2, 3, 4] if second == "same" else [2, 4]
    assert memory_logger.series("gradient_noise_scale") == [(step, 0.0) for step in measured]


def test_a_weight_of_0_that_does_not_move_and_an_empty_one_have_no_update_ratio(quiet_trainer, memory_logger):
    class WithZeros(Slope):
        def __init__(self):
            super().__init__(2.0, batches=2)
            self.still, self.moved, self.empty = (nn.Parameter(torch.zeros(size)) for size in (3, 3, 0))

        def training_step(self, batch, batch_idx):
            rest = (0 * self.still).sum() + self.moved.sum() + self.empty.sum()
            return super().training_step(batch, batch_idx) + rest

    quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1)]).fit(WithZeros())
    ratios = {tag for tag in memory_logger.tags if tag.startswith("update_ratio/")}
    assert ratios == {"update_ratio/weight", "update_ratio/moved"}
    assert memory_logger.series("update_ratio/moved") == [(1, float("inf")), (2, pytest.approx(1.0))]
    assert memory_logger.series("gradient_norm/still") == [(1, 0.0), (2, 0.0)]


def test_leaves_no_hook_and_changes_nothing(quiet_trainer):
    plain, recorded = Regression(), Regression()
    recorded.load_state_dict(plain.state_dict())
    quiet_trainer(gradient_clip_val=0.5).fit(plain)
    trainer = quiet_trainer(gradient_clip_val=0.5, callbacks=[GradientCallback(2)])
    trainer.fit(recorded)
    assert all((flat(a) == flat(b)).all() for a, b in zip(plain.weights, recorded.weights, strict=True))
    assert not trainer.optimizers[0]._optimizer_step_post_hooks


def test_an_interval_below_one_is_refused():
    with pytest.raises(ValueError, match="expected an interval of at least 1, got 0"):
        GradientCallback(every_n_steps=0)
