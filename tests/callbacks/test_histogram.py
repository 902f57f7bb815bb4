"""Which tensors are looked at, when, and that nothing is left behind."""

import weakref

import numpy as np
import pytest
import torch

from puffer_callbacks import Histogram, HistogramCallback
from tests.support.models import Agent, losses
from tests.support.reading import accumulator
from tests.support.regression import Regression
from tests.support.warned import warned


def fit(trainer, logger, module, callback, **arguments):
    trainer(logger=logger, callbacks=[callback], **arguments).fit(module)
    return logger


def same(found: Histogram, expected: Histogram) -> bool:
    counted = np.array_equal(found.counts, expected.counts) and np.array_equal(found.edges, expected.edges)
    return counted and found.sum == pytest.approx(expected.sum, rel=1e-12)


def test_fires_every_n_optimizer_steps(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Regression(steps=20), HistogramCallback(every_n_steps=6))
    for tag in ("weights/net.0.weight", "gradients/net.2.bias"):
        assert [step for step, _ in memory_logger.series(tag)] == [6, 12, 18]


def test_weights_are_those_after_the_step_and_gradients_those_before_the_clip(quiet_trainer, memory_logger):
    module = Regression(steps=20)
    fit(quiet_trainer, memory_logger, module, HistogramCallback(5), gradient_clip_val=0.01)
    step, weights = memory_logger.series("weights/net.0.weight")[0]
    assert step == 5 and same(weights, Histogram.of(module.weights[5]["net.0.weight"]))
    _, gradients = memory_logger.series("gradients/net.0.weight")[0]
    assert same(gradients, Histogram.of(module.raw_gradients[4]["net.0.weight"]))
    assert gradients.count == 12


def test_tensorboard_s_reader_counts_every_weight(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path, name="", version="")
    module = Regression(steps=4)
    fit(quiet_trainer, logger, module, HistogramCallback(4))
    found = accumulator(tmp_path)
    for name, parameter in module.named_parameters():
        (event,) = found.Histograms(f"weights/{name}")
        value = event.histogram_value
        assert sum(value.bucket) == value.num == parameter.numel()
        assert value.min == parameter.min().item() and value.max == parameter.max().item()


def test_the_rollout_s_fields(quiet_trainer, memory_logger):
    module = Agent(losses(*[0.0] * 8))
    fit(quiet_trainer, memory_logger, module, HistogramCallback(4))
    for name in ("rewards", "actions", "values", "advantages"):
        field = getattr(module.rollouts[0], name)
        if field is not None:
            assert memory_logger.series(f"rollout/{name}")[0][1].count == field.numel()
    assert memory_logger.series("rollout/rewards")


def test_a_rollout_is_let_go_while_no_firing_is_near(quiet_trainer, memory_logger):
    alive: list[weakref.ref] = []
    counts: list[int] = []

    class Forgets(Agent):
        def training_step(self, batch, batch_idx):
            said = super().training_step(batch, batch_idx)
            if self.rollouts:
                alive.append(weakref.ref(self.rollouts.pop()))
            counts.append(sum(ref() is not None for ref in alive))
            return said

    fit(quiet_trainer, memory_logger, Forgets(losses(*[0.0] * 40), updates=2), HistogramCallback(20))
    assert counts[4:14] == [0] * 10
    assert memory_logger.series("rollout/rewards")[0][0] == memory_logger.series("weights/layer.weight")[0][0]


def test_after_more_updates_than_ever_the_next_rollout_is_shown(quiet_trainer, memory_logger):
    class Slows(Agent):
        def training_step(self, batch, batch_idx):
            self.updates = 2 if self.step < 12 else 12
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, memory_logger, Slows(losses(*[0.0] * 36)), HistogramCallback(20))
    steps = memory_logger.series("time/optimizer_steps")
    shown, *_ = (step for step, _ in memory_logger.series("rollout/rewards"))
    assert dict(steps)[shown] >= 20


def test_patterns_choose(quiet_trainer, memory_logger):
    callback = HistogramCallback(5, include="*.weight", exclude=["net.2.*"])
    fit(quiet_trainer, memory_logger, Regression(steps=5), callback)
    names = {tag for tag in memory_logger.tags if tag.startswith(("weights/", "gradients/"))}
    assert names == {"weights/net.0.weight", "gradients/net.0.weight"}


def test_a_pattern_that_matches_nothing_is_named(quiet_trainer, memory_logger):
    with warned() as said:
        fit(quiet_trainer, memory_logger, Regression(steps=5), HistogramCallback(5, exclude="*.wieght"))
    assert len(said) == 1 and "the pattern '*.wieght' matches no parameter" in said[0]


def test_group_by_module_adds_up(quiet_trainer, memory_logger):
    module = Regression(steps=5)
    fit(quiet_trainer, memory_logger, module, HistogramCallback(5, group_by="module"))
    found = memory_logger.series("weights/net.0")[0][1]
    parts = [Histogram.of(parameter) for parameter in module.net[0].parameters()]
    assert found.count == 16 and np.array_equal(found.counts, (parts[0] + parts[1]).counts)
    with pytest.raises(ValueError, match="group_by: expected 'module' or None, got 'layer'"):
        HistogramCallback(group_by="layer")  # type: ignore[arg-type]


@pytest.mark.parametrize("compiled", [False, True])
def test_activations_leave_nothing_behind(quiet_trainer, memory_logger, compiled):
    plain, watched = Regression(compiled=compiled), Regression(compiled=compiled)
    watched.load_state_dict(plain.state_dict())
    torch.manual_seed(1)
    quiet_trainer().fit(plain)
    torch.manual_seed(1)
    fit(quiet_trainer, memory_logger, watched, HistogramCallback(5, activations=True))
    after = [step for step, _ in memory_logger.series("activations/net.1")]
    assert after == [5, 10, 15, 20]
    tanh = memory_logger.series("activations/net.1")[0][1]
    assert tanh.count == 8 * 4 and tanh.min >= -1 and tanh.max <= 1
    assert not any(part._forward_hooks for part in watched.modules())
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, watched.state_dict()[name])


def test_compiled_parameters_go_by_their_own_names(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Regression(steps=5, compiled=True), HistogramCallback(5))
    assert "weights/net.0.weight" in memory_logger.tags
    assert not [tag for tag in memory_logger.tags if "_orig_mod" in tag]
