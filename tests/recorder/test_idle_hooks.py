"""Which of a callback's hooks Lightning enters while a fit runs, by its own profiler."""

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.profilers import SimpleProfiler

from puffer_callbacks import GradientCallback, HistogramCallback, MetricsCallback
from puffer_callbacks.recorder.recorder import Recorder
from tests.support.models import Supervised, losses
from tests.support.regression import Regression

STEPS = 20


class Network(Supervised):
    """A module that can be called, for activations."""

    def forward(self, batch):
        return self.layer(torch.ones(1, 3))


def entered(quiet_trainer, logger, callback):
    """How often each hook of a callback, and of the recorder, was entered in a fit of 20 steps."""
    profiler = SimpleProfiler()
    trainer = quiet_trainer(profiler=profiler, logger=logger, callbacks=[callback])
    trainer.fit(Network(losses(*[1.0] * STEPS)))
    calls = {}
    for action, durations in profiler.recorded_durations.items():
        if action.startswith("[Callback]"):
            owner = "Recorder" if "]Recorder" in action else "callback"
            calls[owner, action.rsplit(".", 1)[-1]] = len(durations)
    return calls


def test_hooks_that_no_option_uses_are_not_entered(quiet_trainer, memory_logger):
    calls = entered(quiet_trainer, memory_logger, HistogramCallback(5))
    assert ("callback", "on_train_batch_start") not in calls
    assert ("callback", "on_train_batch_end") not in calls
    assert calls["Recorder", "on_train_batch_end"] == STEPS
    assert memory_logger.series("weights/layer.weight")


def test_hooks_that_an_option_uses_are_entered(quiet_trainer, memory_logger):
    calls = entered(quiet_trainer, memory_logger, HistogramCallback(5, activations=True))
    assert calls["callback", "on_train_batch_start"] == STEPS


def test_a_subclass_keeps_its_own_hook(quiet_trainer, memory_logger):
    class Counting(HistogramCallback):
        batches = 0

        def on_train_batch_start(self, *arguments):
            super().on_train_batch_start(*arguments)
            self.batches += 1

    callback = Counting(5)
    entered(quiet_trainer, memory_logger, callback)
    assert callback.batches == STEPS


@pytest.mark.parametrize(
    ("callback", "steps"),
    [(GradientCallback(10), 5), (HistogramCallback(10), 5), (MetricsCallback(10), 0)],  # the first, 9, 10, 19, 20
)
def test_optimizer_steps_are_inspected_only_near_those_that_are_measured(quiet_trainer, memory_logger, callback, steps):
    calls = entered(quiet_trainer, memory_logger, callback)
    assert calls.get(("Recorder", "on_before_optimizer_step"), 0) == steps


def test_after_the_fit_every_hook_is_lightnings_own(quiet_trainer, memory_logger):
    callback = HistogramCallback(5)
    trainer = quiet_trainer(logger=memory_logger, callbacks=[callback])
    trainer.fit(Supervised(losses(1.0, 2.0)))
    assert callback.on_train_batch_end.__func__ is Callback.on_train_batch_end
    assert callback.on_train_batch_start.__func__ is HistogramCallback.on_train_batch_start
    assert not any(value is None for name, value in vars(Recorder.of(trainer)).items() if name.startswith("on_"))


def test_a_recorder_that_had_no_gradients_to_measure_measures_those_of_the_next_run(quiet_trainer, memory_logger):
    recorder = Recorder()
    quiet_trainer(callbacks=[MetricsCallback(2), recorder]).fit(Regression(steps=2))
    quiet_trainer(logger=memory_logger, callbacks=[GradientCallback(1), recorder]).fit(Regression(steps=2))
    assert [step for step, _ in memory_logger.series("gradient_norm/total")] == [1, 2]
