"""Which tensors are looked at, when, and that nothing is left behind."""

import weakref

import numpy as np
import pytest
import torch

from puffer_callbacks import Histogram, HistogramCallback, Rollout
from puffer_callbacks.adapters import Loop
from tests.support.models import Agent, losses, random_rollout
from tests.support.reading import accumulator
from tests.support.regression import Regression
from tests.support.warned import warned


def fit(trainer, logger, module, callback, **arguments):
    trainer(logger=logger, callbacks=[callback], **arguments).fit(module)
    return logger


def same(found: Histogram, expected: Histogram) -> bool:
    counted = np.array_equal(found.counts, expected.counts) and np.array_equal(found.edges, expected.edges)
    return counted and found.sum == pytest.approx(expected.sum, rel=1e-12)


def steps(logger, tag):
    return [step for step, _ in logger.series(tag)]


def test_fires_at_the_first_step_at_each_crossing_and_at_the_end(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Regression(steps=20), HistogramCallback(every_n_steps=6))
    assert steps(memory_logger, "weights/net.0.weight") == [1, 6, 12, 18, 20]
    assert steps(memory_logger, "gradients/net.2.bias") == [1, 6, 12, 18]  # there is no step after the last


def test_an_end_that_is_a_crossing_is_one_point(quiet_trainer, memory_logger):
    module = Regression(steps=12)
    fit(quiet_trainer, memory_logger, module, HistogramCallback(every_n_steps=6))
    assert steps(memory_logger, "weights/net.0.weight") == steps(memory_logger, "gradients/net.2.bias") == [1, 6, 12]
    last = Histogram.of(module.net[0].weight)
    assert same(memory_logger.series("weights/net.0.weight")[-1][1], last)


def test_weights_are_those_after_the_step_and_gradients_those_before_the_clip(quiet_trainer, memory_logger):
    module = Regression(steps=20)
    fit(quiet_trainer, memory_logger, module, HistogramCallback(5), gradient_clip_val=0.01)
    for step in (1, 5, 10, 15):
        weights = dict(memory_logger.series("weights/net.0.weight"))[step]
        assert same(weights, Histogram.of(module.weights[step]["net.0.weight"]))
        gradients = dict(memory_logger.series("gradients/net.0.weight"))[step]
        assert same(gradients, Histogram.of(module.raw_gradients[step - 1]["net.0.weight"]))
        assert gradients.count == 12


def test_tensorboards_reader_counts_every_weight(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path, name="", version="")
    module = Regression(steps=4)
    fit(quiet_trainer, logger, module, HistogramCallback(4))
    found = accumulator(tmp_path)
    for name, parameter in module.named_parameters():
        _, event = found.Histograms(f"weights/{name}")
        assert event.step == 4
        value = event.histogram_value
        assert sum(value.bucket) == value.num == parameter.numel()
        assert value.min == parameter.min().item() and value.max == parameter.max().item()


def test_the_fields_of_a_rollout(quiet_trainer, memory_logger):
    module = Agent(losses(*[0.0] * 8))
    fit(quiet_trainer, memory_logger, module, HistogramCallback(4))
    for name in ("rewards", "actions", "values", "advantages"):
        field = getattr(module.rollouts[0], name)
        if field is not None:
            assert memory_logger.series(f"rollout/{name}")[0][1].count == field.numel()
    assert memory_logger.series("rollout/rewards")


def test_a_rollout_is_released_but_for_what_is_logged(quiet_trainer, memory_logger):
    alive: list[weakref.ref] = []
    counts: list[int] = []

    class Forgets(Agent):
        def training_step(self, batch, batch_idx):
            outputs = super().training_step(batch, batch_idx)
            if self.rollouts:
                rollout = self.rollouts.pop()
                alive.extend(map(weakref.ref, (rollout, rollout.observations, rollout.log_probs)))
                del rollout
            counts.append(sum(ref() is not None for ref in alive))
            return outputs

    fit(quiet_trainer, memory_logger, Forgets(losses(*[0.0] * 40), updates=2), HistogramCallback(20))
    assert counts[4:] == [0] * 36
    assert memory_logger.series("rollout/rewards")[0][0] == memory_logger.series("weights/layer.weight")[0][0]


def test_the_last_rollout_is_logged_at_each_firing_and_at_the_end(quiet_trainer, memory_logger):
    """Also where nothing else keeps a rollout that ended long before, and where updates become longer."""
    sums: dict[int, float] = {}

    class Slows(Agent):
        def training_step(self, batch, batch_idx):
            self.updates = 2 if self.step < 12 else 12
            outputs = super().training_step(batch, batch_idx)
            sums.update((each.env_steps, each.rewards.double().sum().item()) for each in self.rollouts)
            self.rollouts.clear()
            return outputs

    module = Slows(losses(*[0.0] * 36), make=lambda _, env_steps: random_rollout(env_steps, env_steps))
    fit(quiet_trainer, memory_logger, module, HistogramCallback(20))
    points = memory_logger.series("rollout/rewards")
    assert [(step, each.sum) for step, each in points] == [(at, pytest.approx(sums[at])) for at in (16, 112, 128)]


@pytest.mark.parametrize("cut", ["ended", "saved"])
def test_a_rollout_whose_memory_is_used_again_is_shown_as_it_was(memory_logger, cut):
    """As loops do that keep one buffer for all rollouts, and end, or are saved, in the middle of the next one."""
    module, memory = torch.nn.Linear(2, 1), torch.ones(8, 2)
    loop = Loop(memory_logger, HistogramCallback(every_n_steps=100))
    loop.fit_start(module, optimizers=torch.optim.SGD(module.parameters(), lr=0.1))
    for reward in (1.0, 2.0):
        memory.fill_(reward)
        loop.rollout_end(Rollout(rewards=memory))
        module(torch.ones(2)).sum().backward()
        loop.optimizers[0].step()
        loop.step({"loss": 0.0})
    memory[:3] = 7.0
    if cut == "saved":
        state = loop.state_dict()
        loop.close()
        loop.load_state_dict(state)
        loop.fit_start(module)
    loop.close()
    shown = memory_logger.series("rollout/rewards")[-1][1]
    assert (shown.count, shown.min, shown.max) == (16, 2.0, 2.0)


def test_patterns_select_parameters(quiet_trainer, memory_logger):
    callback = HistogramCallback(5, include="*.weight", exclude=["net.2.*"])
    fit(quiet_trainer, memory_logger, Regression(steps=5), callback)
    names = {tag for tag in memory_logger.tags if tag.startswith(("weights/", "gradients/"))}
    assert names == {"weights/net.0.weight", "gradients/net.0.weight"}


def test_a_pattern_that_matches_nothing_is_reported(quiet_trainer, memory_logger):
    with warned() as messages:
        fit(quiet_trainer, memory_logger, Regression(steps=5), HistogramCallback(5, exclude="*.wieght"))
    assert len(messages) == 1 and "the pattern '*.wieght' matches no parameter" in messages[0]


def test_group_by_module_adds_up(quiet_trainer, memory_logger):
    module = Regression(steps=5)
    fit(quiet_trainer, memory_logger, module, HistogramCallback(5, group_by="module"))
    found = memory_logger.series("weights/net.0")[-1][1]
    parts = [Histogram.of(parameter) for parameter in module.net[0].parameters()]
    assert found.count == 16 and np.array_equal(found.counts, (parts[0] + parts[1]).counts)
    with pytest.raises(ValueError, match="group_by: expected 'module' or None, got 'layer'"):
        HistogramCallback(group_by="layer")  # type: ignore[arg-type]


@pytest.mark.parametrize("compiled", [False, True])
def test_activations_leave_nothing_behind(quiet_trainer, memory_logger, compiled):
    plain, recorded = Regression(compiled=compiled), Regression(compiled=compiled)
    recorded.load_state_dict(plain.state_dict())
    torch.manual_seed(1)
    quiet_trainer().fit(plain)
    torch.manual_seed(1)
    fit(quiet_trainer, memory_logger, recorded, HistogramCallback(5, activations=True))
    assert steps(memory_logger, "activations/net.1") == [1, 5, 10, 15, 20]
    tanh = memory_logger.series("activations/net.1")[0][1]
    assert tanh.count == 8 * 4 and tanh.min >= -1 and tanh.max <= 1
    assert not any(part._forward_hooks for part in recorded.modules())
    for name, weight in plain.state_dict().items():
        assert torch.equal(weight, recorded.state_dict()[name])


def test_compiled_parameters_keep_their_names(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Regression(steps=5, compiled=True), HistogramCallback(5))
    assert "weights/net.0.weight" in memory_logger.tags
    assert not [tag for tag in memory_logger.tags if "_orig_mod" in tag]
