import math
import warnings

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from puffer_callbacks import MetricsCallback, Recorder
from puffer_callbacks.faults import PufferWarning
from tests.support.models import Agent, Supervised, TwoOptimizers, losses

DRAWN = np.random.default_rng(0)


def fit(quiet_trainer, memory_logger, script, *, module=Supervised, callbacks=(), every_n_steps=10, **arguments):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(every_n_steps), *callbacks], **arguments)
    trainer.fit(module(script))
    return memory_logger


def interval_means(values, interval):
    """By NumPy: the x of each interval's end, and the mean over all of its steps."""
    ends = [*range(interval, len(values), interval), len(values)]
    return [(end, np.mean(values[start:end], dtype=np.float64)) for start, end in zip([0, *ends], ends, strict=False)]


def assert_series(logger, tag, expected):
    series = logger.series(tag)
    assert [step for step, _ in series] == [step for step, _ in expected]
    np.testing.assert_allclose([v for _, v in series], [v for _, v in expected], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "kind", [float, np.float32, torch.tensor, lambda v: torch.tensor([v]), lambda v: np.array([v])]
)
def test_means_are_over_every_step_of_the_interval(quiet_trainer, memory_logger, kind):
    values = DRAWN.normal(5.0, 2.0, 47)
    fit(quiet_trainer, memory_logger, [{"loss": v, "kl": kind(v)} for v in values])
    assert_series(memory_logger, "train/kl", interval_means(values, 10))
    assert_series(memory_logger, "train/loss", interval_means(values, 10))


def test_the_last_interval_is_logged_however_short(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, losses(1.0, 2.0, 3.0), every_n_steps=1000)
    assert_series(memory_logger, "train/loss", [(3, 2.0)])


def test_nested_scalars_are_joined_and_the_rest_is_passed_over(quiet_trainer, memory_logger):
    outputs = {
        "loss": 1.0,
        "aux": {"kl": 2.0, "deep": {"er": 3.0}},
        "logits": torch.ones(3),
        "name": "x",
        "none": None,
    }
    fit(quiet_trainer, memory_logger, [outputs] * 3)
    assert [tag for tag in memory_logger.tags if tag.startswith("train/")] == [
        "train/aux/deep/er",
        "train/aux/kl",
        "train/learning_rate",
        "train/loss",
    ]


def test_a_bare_loss_tensor_is_a_loss(quiet_trainer, memory_logger):
    class Bare(Supervised):
        def training_step(self, batch, batch_idx):
            return super().training_step(batch, batch_idx)["loss"]

    fit(quiet_trainer, memory_logger, losses(1.0, 3.0), module=Bare)
    assert_series(memory_logger, "train/loss", [(2, 2.0)])


def test_keys_may_come_and_go(quiet_trainer, memory_logger):
    script = [
        {"loss": float(i)} | ({"odd": float(i)} if i % 2 else {}) | ({"late": 1.0} if i > 15 else {}) for i in range(20)
    ]
    fit(quiet_trainer, memory_logger, script)
    assert_series(memory_logger, "train/odd", [(10, np.mean([1, 3, 5, 7, 9])), (20, np.mean([11, 13, 15, 17, 19]))])
    assert_series(memory_logger, "train/late", [(20, 1.0)])


def test_nonfinite_steps_are_left_out_and_counted(quiet_trainer, memory_logger):
    values = [1.0, math.nan, 3.0, math.inf, 5.0, 6.0, -math.inf, 8.0]
    script = [{"loss": 0.0, "kl": torch.tensor(v), "ratio": v} for v in values]
    fit(quiet_trainer, memory_logger, script, every_n_steps=4)
    for name in ("kl", "ratio"):
        assert_series(memory_logger, f"train/{name}", [(4, 2.0), (8, 19 / 3)])
        assert memory_logger.series(f"nonfinite/train/{name}") == [(4, 2.0), (8, 3.0)]
    assert "nonfinite/train/loss" not in memory_logger.tags


def test_an_interval_without_a_finite_step_shows_nan(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, [{"loss": 0.0, "kl": math.nan}] * 4, every_n_steps=2)
    assert [step for step, value in memory_logger.series("train/kl") if math.isnan(value)] == [2, 4]
    assert memory_logger.series("nonfinite/train/kl") == [(2, 2.0), (4, 4.0)]


def test_a_nan_loss_is_logged_as_such(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, losses(1.0, math.nan, 3.0, 4.0), every_n_steps=4)
    assert memory_logger.series("nonfinite/train/loss") == [(4, 1.0)]
    assert_series(memory_logger, "train/loss", [(4, 8 / 3)])


def test_a_tensor_changed_in_place_after_the_step_counts_as_it_was(quiet_trainer, memory_logger):
    running = torch.zeros(())

    class InPlace(Supervised):
        def training_step(self, batch, batch_idx):
            running.add_(1.0)
            return {**super().training_step(batch, batch_idx), "running": running}

    fit(quiet_trainer, memory_logger, losses(*[0.0] * 4), module=InPlace, every_n_steps=4)
    assert_series(memory_logger, "train/running", [(4, 2.5)])


def test_names_that_rl_shares_are_grouped(quiet_trainer, memory_logger):
    outputs = {
        "policy_loss": 1.0,
        "value_loss": 2.0,
        "entropy": 3.0,
        "approx_kl": 4.0,
        "clip_fraction": 5.0,
        "explained_variance": 6.0,
    }
    fit(quiet_trainer, memory_logger, [outputs] * 2)
    assert not {"train/approx_kl", "train/clip_fraction", "train/explained_variance"} & set(memory_logger.tags)
    for name in ("policy_loss", "value_loss", "entropy"):
        assert memory_logger.series(f"train/{name}") == [(2, outputs[name])]
    grouped = {
        tag: memory_logger.series(tag) for tag in memory_logger.tags if tag.startswith(("losses", "diagnostics"))
    }
    assert grouped == {
        "losses/policy": [(2, 1.0)],
        "losses/value": [(2, 2.0)],
        "losses/entropy": [(2, -3.0)],
        "diagnostics/approx_kl": [(2, 4.0)],
        "diagnostics/clip_fraction": [(2, 5.0)],
        "diagnostics/explained_variance": [(2, 6.0)],
    }


def test_updates_at_one_count_of_environment_steps_merge_into_one_exact_mean(quiet_trainer, memory_logger):
    values = DRAWN.normal(size=24)
    fit(quiet_trainer, memory_logger, [{"loss": v} for v in values], module=Agent, every_n_steps=1)
    expected = [(16 * (at + 1), values[4 * at : 4 * at + 4].mean()) for at in range(6)]
    assert_series(memory_logger, "train/loss", expected)


@pytest.mark.parametrize("every_n_steps", [3, 5])
def test_merged_intervals_weigh_by_their_steps(quiet_trainer, memory_logger, every_n_steps):
    values = DRAWN.normal(size=18)
    fit(
        quiet_trainer,
        memory_logger,
        [{"loss": v} for v in values],
        module=lambda script: Agent(script, updates=8),
        every_n_steps=every_n_steps,
    )
    by_x: dict[int, list[float]] = {}
    for end, (_, _) in zip(
        [*range(every_n_steps, 18, every_n_steps), 18], interval_means(values, every_n_steps), strict=True
    ):
        start = (end - 1) // every_n_steps * every_n_steps
        by_x.setdefault(16 * ((end - 1) // 8 + 1), []).extend(values[start:end])
    assert_series(memory_logger, "train/loss", [(x, np.mean(v)) for x, v in by_x.items()])


def test_the_last_mean_stands_on_its_own_axes(quiet_trainer, memory_logger):
    recorder = Recorder("optimizer_steps")
    fit(quiet_trainer, memory_logger, losses(*range(20)), module=Agent, callbacks=[recorder], every_n_steps=6)
    assert [step for step, _ in memory_logger.series("train/loss")] == [6, 12, 18, 20]
    assert memory_logger.series("time/env_steps")[-1] == (20, 80.0)


def test_under_gradient_accumulation_the_loss_is_the_true_one(quiet_trainer, memory_logger):
    values = DRAWN.normal(size=14)
    fit(
        quiet_trainer,
        memory_logger,
        [{"loss": v, "same": v} for v in values],
        accumulate_grad_batches=4,
        every_n_steps=2,
    )
    assert_series(memory_logger, "train/loss", [(2, values[:8].mean()), (4, values[8:].mean())])
    assert_series(memory_logger, "train/same", [(2, values[:8].mean()), (4, values[8:].mean())])


def test_the_learning_rate_comes_from_the_optimizer(quiet_trainer, memory_logger):
    class Annealed(Supervised):
        def configure_optimizers(self):
            optimizer = super().configure_optimizers()
            decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (step + 1))
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": decay, "interval": "step"}}

    fit(quiet_trainer, memory_logger, losses(*[0.0] * 4), module=Annealed, every_n_steps=1)
    steps, rates = zip(*memory_logger.series("train/learning_rate"), strict=True)
    assert steps == (1, 2, 3, 4)
    np.testing.assert_allclose(rates, [0.1, 0.1 / 2, 0.1 / 3, 0.1 / 4])


def test_a_learning_rate_that_the_module_returns_stands(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, [{"learning_rate": 7.0}] * 4, every_n_steps=2)
    assert memory_logger.series("train/learning_rate") == [(2, 7.0), (4, 7.0)]
    assert memory_logger.series("train/learning_rate/0") == [(2, 0.1), (4, 0.1)], "the optimizer's is seen beside it"


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1), np.float64(0.1)])
def test_a_learning_rate_that_is_the_optimizer_s_is_shown_once(quiet_trainer, memory_logger, rate):
    fit(quiet_trainer, memory_logger, [{"learning_rate": rate}] * 4, every_n_steps=2)
    assert memory_logger.series("train/learning_rate") == [(2, pytest.approx(0.1)), (4, pytest.approx(0.1))]
    assert "train/learning_rate/0" not in memory_logger.tags


def test_a_learning_rate_that_is_returned_now_and_then_is_shown_once(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, [{"other": 1.0}, {"learning_rate": 0.1}] * 2, every_n_steps=4)
    assert memory_logger.series("train/learning_rate") == [(4, pytest.approx(0.1))]
    assert "train/learning_rate/0" not in memory_logger.tags


def test_an_optimizer_without_a_learning_rate_is_no_fault(quiet_trainer, memory_logger):
    class Fixed(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, defaults={})

        def step(self, closure=None):
            return closure()

    class Module(Supervised):
        def configure_optimizers(self):
            return Fixed(self.parameters())

    fit(quiet_trainer, memory_logger, losses(1.0, 3.0), module=Module)
    assert memory_logger.series("train/loss") == [(2, 2.0)]


def test_with_two_optimizers_steps_are_those_of_the_busiest(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(5)])
    trainer.fit(TwoOptimizers(batches=10))
    assert trainer.global_step == 15
    assert memory_logger.series("train/loss") == [(5, 2.0), (10, 7.0)]
    assert memory_logger.series("train/critic_loss") == [(5, 2.0), (10, 2.0)]
    assert memory_logger.series("train/learning_rate")[0] == (5, pytest.approx(0.1))
    assert memory_logger.series("train/learning_rate/1")[0] == (5, pytest.approx(0.01))


def test_a_module_that_returns_no_metrics_is_reported_once(quiet_trainer, memory_logger):
    with pytest.warns(UserWarning, match="expected training_step to return a dict of scalars") as outputs:
        quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(2)]).fit(
            TwoOptimizers(batches=10, returns_metrics=False)
        )
    assert len([warning for warning in outputs if warning.category is PufferWarning]) == 1
    assert not [tag for tag in memory_logger.tags if tag.startswith("train/")]


def test_skipped_steps_are_no_fault(quiet_trainer, memory_logger):
    class Skips(Supervised):
        def training_step(self, batch, batch_idx):
            outputs = super().training_step(batch, batch_idx)
            return outputs if batch_idx % 2 else None

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`training_step` returned `None`")
        fit(quiet_trainer, memory_logger, losses(*range(8)), module=Skips, every_n_steps=4)
    assert np.mean([value for _, value in memory_logger.series("train/loss")]) == 4.0


def test_validation_and_several_epochs_leave_no_trace(quiet_trainer, memory_logger):
    class Validated(Supervised):
        def train_dataloader(self):
            return range(5)

        def validation_step(self, batch, batch_idx):
            return {"loss": torch.tensor(1e9)}

        def val_dataloader(self):
            return range(3)

    values = DRAWN.normal(size=20)
    fit(
        quiet_trainer,
        memory_logger,
        [{"loss": v} for v in values],
        module=Validated,
        max_epochs=4,
        every_n_steps=7,
    )
    assert_series(memory_logger, "train/loss", interval_means(values, 7))


def test_an_exception_loses_nothing_that_was_measured(quiet_trainer, memory_logger):
    with pytest.raises(IndexError):
        fit(quiet_trainer, memory_logger, losses(1.0, 2.0, 3.0), module=TooLong, every_n_steps=2)
    assert_series(memory_logger, "train/loss", [(2, 1.5), (3, 3.0)])


class TooLong(Supervised):
    def train_dataloader(self):
        return range(10)


@pytest.mark.parametrize(
    ("interval", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError), ("50", TypeError)]
)
def test_a_bad_interval_is_refused(interval, error):
    with pytest.raises(error, match="expected an interval"):
        MetricsCallback(interval)


def test_defaults_are_those_of_the_contract():
    assert MetricsCallback().every_n_steps == 50
    assert isinstance(MetricsCallback(), pl.Callback)
