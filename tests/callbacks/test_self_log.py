"""Modules that log with Lightning's ``self.log``: their values stand in our rows, each tag once."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from torchmetrics import MetricCollection, R2Score
from torchmetrics.classification import BinaryAccuracy, BinaryAUROC, BinaryRecall
from torchmetrics.functional.classification import binary_accuracy, binary_auroc, binary_recall

from puffer_callbacks import HealthCallback, MemoryLogger, MetricsCallback, Recorder, RolloutCallback
from puffer_callbacks.faults import PufferWarning
from tests.support import self_log_ranks
from tests.support.models import Agent, Supervised, losses
from tests.support.reading import tensorboard_scalars, wandb_rows
from tests.support.warned import warned

DRAWN = torch.rand(20, 16, generator=torch.Generator().manual_seed(0))
TARGETS = (DRAWN + torch.rand(20, 16, generator=torch.Generator().manual_seed(1)) > 1).int()
"""Predictions and labels of twenty steps."""
VALUES = np.random.default_rng(0).normal(3.0, 2.0, 47).astype(np.float32).tolist()


class Logs(Supervised):
    """Logs one value a step and returns a loss alone, as most modules do."""

    name, options = "own", {}

    def __init__(self, values=VALUES, **options):
        super().__init__(losses(*values))
        self.options = {**self.options, **options}

    def training_step(self, batch, batch_idx):
        value = self.script[self.step]["loss"]
        self.log(self.name, value, batch_size=1, **self.options)
        return super().training_step(batch, batch_idx)["loss"]


class Validates(Logs):
    """Logs the same number in each validation."""

    validated = "val/score"

    def validation_step(self, batch, batch_idx):
        self.log(self.validated, 7.0 + batch_idx, batch_size=1)

    def val_dataloader(self):
        return range(3)


def fit(quiet_trainer, logger, module, *callbacks, every_n_steps=10, **arguments):
    trainer = quiet_trainer(logger=logger, callbacks=[*callbacks, MetricsCallback(every_n_steps)], **arguments)
    trainer.fit(module)
    return trainer


def interval_means(values, interval=10, *, start=0):
    """By NumPy: the x of each interval's end, and the mean over its steps."""
    ends = [*range(interval, len(values), interval), len(values)]
    means = [np.mean(values[begin:end], dtype=np.float64) for begin, end in zip([0, *ends], ends, strict=False)]
    return [(start + end, pytest.approx(mean, rel=1e-6)) for end, mean in zip(ends, means, strict=True)]


@pytest.mark.parametrize("log_every_n_steps", [1, 7, 10])
def test_means_are_over_every_step_whenever_lightning_logs(quiet_trainer, memory_logger, log_every_n_steps):
    fit(quiet_trainer, memory_logger, Logs(), log_every_n_steps=log_every_n_steps)
    assert memory_logger.series("own") == interval_means(VALUES)
    assert memory_logger.series("train/loss") == interval_means(VALUES)
    assert memory_logger.series("epoch") == [(step, 0.0) for step in (10, 20, 30, 40)]


@pytest.mark.slow
def test_every_backend_has_each_tag_once(quiet_trainer, tmp_path):
    wandb = pytest.importorskip("wandb")
    table, board = CSVLogger(tmp_path, name="", version="csv"), TensorBoardLogger(tmp_path, name="", version="tb")
    offline = WandbLogger(save_dir=tmp_path / "wandb", offline=True)
    module = Validates(on_step=True, on_epoch=True)
    fit(quiet_trainer, [table, board, offline], module, num_sanity_val_steps=0)
    wandb.finish()
    wandb.teardown()  # which waits for the file to be written
    means, epoch = interval_means(VALUES), [(47, pytest.approx(np.mean(VALUES), rel=1e-5))]
    with (tmp_path / "csv" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scalars, history = tensorboard_scalars(tmp_path / "tb"), wandb_rows(tmp_path / "wandb")
    for tag, expected in {"own_step": means, "own_epoch": epoch, "val/score": [(47, 8.0)]}.items():
        assert scalars[tag] == expected
        assert [(int(row["step"]), float(row[tag])) for row in rows if row.get(tag)] == expected
        assert [(row["time/optimizer_steps"], row[tag]) for row in history if tag in row] == expected


def test_a_name_that_the_dict_has_too_is_one_series(quiet_trainer, memory_logger):
    class Both(Logs):
        name = "train/loss"

    trainer = fit(quiet_trainer, memory_logger, Both(), log_every_n_steps=10)
    assert memory_logger.series("train/loss") == interval_means(VALUES)
    assert trainer.logged_metrics["train/loss"].item() == pytest.approx(VALUES[-1])


def test_an_epoch_s_mean_under_a_tag_of_ours_has_a_name_of_its_own(quiet_trainer, memory_logger):
    class Epochs(Logs):
        name, options = "train/loss", {"on_step": False, "on_epoch": True}

    fit(quiet_trainer, memory_logger, Epochs(), every_n_steps=30)
    assert memory_logger.series("train/loss") == interval_means(VALUES, 30)
    assert memory_logger.series("train/loss_epoch") == [(47, pytest.approx(np.mean(VALUES), rel=1e-5))]


def test_validation_under_the_name_of_training_is_kept_apart(quiet_trainer, memory_logger):
    class Same(Validates):
        validated = "own"

    fit(quiet_trainer, memory_logger, Same(), val_check_interval=10)
    assert memory_logger.series("own") == interval_means(VALUES)
    assert memory_logger.series("own_epoch") == [(step, 8.0) for step in (10, 20, 30, 40)]


def test_validation_and_epochs_stand_at_our_steps(quiet_trainer, memory_logger):
    class ShortEpochs(Validates):
        def train_dataloader(self):
            return range(10)

    fit(quiet_trainer, memory_logger, ShortEpochs(on_epoch=True), max_epochs=3, val_check_interval=5, every_n_steps=4)
    assert memory_logger.series("val/score") == [(step, 8.0) for step in (5, 10, 15, 20, 25, 30)]
    means = np.array(VALUES[:30]).reshape(3, 10).mean(1)
    expected = [(step, pytest.approx(mean, rel=1e-5)) for step, mean in zip((10, 20, 30), means, strict=True)]
    assert memory_logger.series("own_epoch") == expected
    assert memory_logger.series("own_step") == interval_means(VALUES[:30], 4)


def test_rows_of_environment_steps_hold_them_too(quiet_trainer, memory_logger):
    class LogsRollouts(Agent):
        def training_step(self, batch, batch_idx):
            self.log("own", float(batch_idx), on_step=True, on_epoch=True, batch_size=1)
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, memory_logger, LogsRollouts(losses(*range(20))), RolloutCallback(), every_n_steps=4)
    by_rollout = np.arange(20.0).reshape(5, 4).mean(1).tolist()
    assert memory_logger.series("own_step") == list(zip(range(16, 96, 16), by_rollout, strict=True))
    assert memory_logger.series("own_epoch") == [(80, 9.5)]


def test_steps_that_log_nothing_do_not_count(quiet_trainer, memory_logger):
    class Sometimes(Supervised):
        def training_step(self, batch, batch_idx):
            if batch_idx % 3 == 0:
                self.log("third", float(batch_idx))
            if batch_idx > 15:
                self.log("late", float(batch_idx))
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, memory_logger, Sometimes(losses(*[0.0] * 25)))
    assert memory_logger.series("third") == [(10, np.mean([0, 3, 6, 9])), (20, np.mean([12, 15, 18])), (25, 22.5)]
    assert memory_logger.series("late") == [(20, np.mean([16, 17, 18, 19])), (25, 22.0)]


@pytest.mark.parametrize("hook", ["on_train_batch_start", "on_before_optimizer_step", "on_train_batch_end"])
def test_values_of_every_hook_of_a_step_are_counted_once(quiet_trainer, memory_logger, hook):
    def log_step(self, *_):
        self.log("hooked", float(self.step))

    module = type("Hooked", (Supervised,), {hook: log_step})(losses(*[0.0] * 20))
    fit(quiet_trainer, memory_logger, module, every_n_steps=50, max_epochs=1)
    first = 0 if hook == "on_train_batch_start" else 1
    assert memory_logger.series("hooked") == [(20, np.arange(first, first + 20).mean())]


def test_what_is_not_for_loggers_stays_out_of_them(quiet_trainer, memory_logger):
    trainer = fit(quiet_trainer, memory_logger, Logs(logger=False, prog_bar=True))
    assert "own" not in memory_logger.tags
    assert trainer.callback_metrics["own"].item() == trainer.progress_bar_metrics["own"] == pytest.approx(VALUES[-1])


def test_a_torchmetrics_object_has_the_mean_of_its_steps(quiet_trainer, memory_logger):
    class LogsObject(Supervised):
        def __init__(self, script):
            super().__init__(script)
            self.accuracy = BinaryAccuracy()

        def training_step(self, batch, batch_idx):
            self.accuracy(DRAWN[batch_idx], TARGETS[batch_idx])
            self.log("accuracy", self.accuracy, on_step=True, on_epoch=True)
            return super().training_step(batch, batch_idx)

    fit(quiet_trainer, memory_logger, LogsObject(losses(*[0.0] * 20)))
    right = ((DRAWN > 0.5).int() == TARGETS).double().mean(1).numpy()
    assert memory_logger.series("accuracy_step") == interval_means(right)
    assert memory_logger.series("accuracy_epoch") == [(20, pytest.approx(right.mean()))]


class ByHand(Supervised):
    """Manual optimization: two optimizer steps a batch, and nothing returned."""

    def __init__(self, values):
        super().__init__(losses(*values))
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        for _ in range(2):
            self.manual_backward(self.anchor())
            self.optimizers().step()
        self.log("own", self.script[batch_idx]["loss"])


def test_manual_optimization_that_returns_nothing(quiet_trainer, memory_logger):
    with warned() as warnings:
        fit(quiet_trainer, memory_logger, ByHand(VALUES))
    assert warnings == []
    assert memory_logger.series("own") == [(2 * step, mean) for step, mean in interval_means(VALUES, 5)]
    assert memory_logger.series("train/learning_rate") == [
        (step, pytest.approx(0.1)) for step in (*range(10, 94, 10), 94)
    ]


def test_accumulated_batches_are_all_in_the_mean(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, Logs(VALUES[:40]), accumulate_grad_batches=4, every_n_steps=5)
    means = [(5, np.mean(VALUES[:20])), (10, np.mean(VALUES[20:40]))]
    assert memory_logger.series("own") == [(step, pytest.approx(mean)) for step, mean in means]


def test_several_validation_loaders_have_a_tag_each(quiet_trainer, memory_logger):
    class Loaders(Logs):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val/score", float(dataloader_idx), batch_size=1)

        def val_dataloader(self):
            return [range(2), range(3)]

    fit(quiet_trainer, memory_logger, Loaders(VALUES[:20]))
    for at in (0, 1):
        assert memory_logger.series(f"val/score/dataloader_idx_{at}") == [(20, float(at))]


def test_nonfinite_values_are_counted_and_found(quiet_trainer, memory_logger):
    class Diverges(Logs):
        name = "train/own_loss"

        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            return self.anchor()

    health = HealthCallback()
    fit(quiet_trainer, memory_logger, Diverges([1.0, float("nan"), 3.0, 5.0, 6.0, 7.0]), health, every_n_steps=2)
    assert memory_logger.series("train/own_loss") == [(2, 1.0), (4, 4.0), (6, 6.5)]
    assert memory_logger.series("nonfinite/train/own_loss") == [(2, 1.0)]
    assert "nonfinite_values" in {finding.rule for finding in health.findings}


def test_a_tag_of_another_callback_stays_that_callback_s(quiet_trainer, memory_logger):
    class Rewarded(Agent):
        def training_step(self, batch, batch_idx):
            outputs = super().training_step(batch, batch_idx)
            self.log("train/reward", -100.0)
            return outputs

    module = Rewarded(losses(*range(20)))
    fit(quiet_trainer, memory_logger, module, RolloutCallback(), every_n_steps=4)
    expected = [rollout.episode_returns.double().mean().item() for rollout in module.rollouts]
    assert [value for _, value in memory_logger.series("train/reward")] == pytest.approx(expected)


def test_monitors_at_the_end_of_an_epoch_see_the_mean(quiet_trainer, memory_logger, tmp_path):
    class ShortEpochs(Logs):
        def train_dataloader(self):
            return range(8)

    best = ModelCheckpoint(tmp_path, "{epoch}", monitor="own", save_top_k=-1, save_on_train_epoch_end=True)
    stop = EarlyStopping("own", patience=9, check_on_train_epoch_end=True)
    module = ShortEpochs(list(map(float, range(24))))
    fit(quiet_trainer, memory_logger, module, stop, best, every_n_steps=8, max_epochs=3, enable_checkpointing=True)
    assert best.best_model_score == stop.best_score == 3.5


def test_a_logger_of_the_users_own_has_lightning_s_rows_and_each_tag_once(quiet_trainer):
    class Keeps(Logger):
        name, version = "keeps", 0

        def __init__(self):
            super().__init__()
            self.rows = []

        def log_metrics(self, metrics, step=None):
            self.rows.append((step, dict(metrics)))

        def log_hyperparams(self, *_, **__): ...

    logger, memory, alone = Keeps(), MemoryLogger(), Keeps()
    fit(quiet_trainer, [logger, memory], Validates(VALUES))
    quiet_trainer(logger=alone).fit(Validates(VALUES))
    for tag in ("own", "val/score", "epoch"):
        found, expected = ([(step, row[tag]) for step, row in each.rows if tag in row] for each in (logger, alone))
        assert found == expected
    assert [row["own"] for _, row in logger.rows if "own" in row] == pytest.approx(VALUES)
    assert [step for step, row in logger.rows if "train/loss" in row] == [10, 20, 30, 40, 47]
    assert memory.series("own") == interval_means(VALUES)
    assert memory.series("val/score") == [(47, 8.0)]


def test_rows_that_the_user_gives_a_logger_stay_where_they_are(quiet_trainer, memory_logger):
    class Direct(Logs):
        def on_train_batch_end(self, outputs, batch, batch_idx):
            self.logger.log_metrics({"direct": 1.0, "epoch": 3.0}, step=batch_idx + 500)

    fit(quiet_trainer, memory_logger, Direct(VALUES[:3]))
    assert memory_logger.series("direct") == [(500, 1.0), (501, 1.0), (502, 1.0)]


def test_without_interval_means_lightning_s_samples_stand_at_our_steps(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[RolloutCallback()], log_every_n_steps=10)
    trainer.fit(Validates([float(at) for at in range(30)]))
    assert memory_logger.series("own") == [(10, 9.0), (20, 19.0), (30, 29.0)]
    assert memory_logger.series("val/score") == [(30, 8.0)]


def test_a_second_fit_continues_the_series(quiet_trainer, memory_logger):
    class HalfEach(Logs):
        def train_dataloader(self):
            return range(10)

    trainer = quiet_trainer(logger=memory_logger, callbacks=[MetricsCallback(4)])
    module = HalfEach(VALUES)
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module)
    means = [*interval_means(VALUES[:10], 4), *interval_means(VALUES[10:12], 4, start=10)]
    assert memory_logger.series("own") == [*means, *interval_means(VALUES[12:20], 4, start=12)]


@pytest.mark.filterwarnings("ignore:Checkpoint directory", "ignore:You're resuming from a checkpoint that ended before")
@pytest.mark.parametrize("saved_at", [13, 20])
def test_a_resumed_fit_has_the_means_of_a_whole_one(quiet_trainer, tmp_path, saved_at):
    class Resumable(Validates):
        def training_step(self, batch, batch_idx):
            self.step = self.trainer.global_step
            return super().training_step(batch, batch_idx)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(range(len(self.script)))

    def run(logger, **resume):
        keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = quiet_trainer(
            logger=logger,
            callbacks=[Recorder(), MetricsCallback(10), keep],
            enable_checkpointing=True,
            val_check_interval=20,
        )
        trainer.fit(Resumable(VALUES[:40]), **resume)
        return {tag: logger.series(tag) for tag in ("own", "train/loss", "val/score", "epoch")}

    whole = run(MemoryLogger())
    resumed = run(MemoryLogger(), ckpt_path=tmp_path / f"step={saved_at}.ckpt", weights_only=False)
    for tag, points in whole.items():
        assert resumed[tag] == [point for point in points if point[0] >= resumed[tag][0][0]], tag
    assert resumed["own"][0][0] <= 20


def test_an_exception_loses_no_step(quiet_trainer, memory_logger):
    class Fails(Logs):
        def training_step(self, batch, batch_idx):
            if batch_idx == 7:
                raise FloatingPointError("diverged")
            return super().training_step(batch, batch_idx)

    with pytest.raises(FloatingPointError):
        fit(quiet_trainer, memory_logger, Fails())
    assert memory_logger.series("own") == interval_means(VALUES[:7])


@pytest.mark.slow
def test_ranks_are_all_in_the_mean(tmp_path: Path):
    results = tmp_path / "results.json"
    subprocess.run([sys.executable, self_log_ranks.__file__, results], check=True, timeout=300, capture_output=True)
    found = json.loads(results.read_text())
    both = self_log_ranks.VALUES.mean(0)
    for name in ("local", "synchronized", "train/mean"):
        assert [tuple(point) for point in found[name]] == interval_means(both, 8)
    assert [tuple(point) for point in found["validated"]] == [(self_log_ranks.BATCHES, 0.5)]


class TestAModuleThatGivesNothing:
    """It is reported where the first interval ends."""

    class Silent(ByHand):
        def training_step(self, batch, batch_idx):
            self.manual_backward(self.anchor())
            self.optimizers().step()

    def test_is_reported_at_the_first_interval(self, quiet_trainer, memory_logger):
        seen = []

        class Silent(self.Silent):
            def on_train_batch_end(self, outputs, batch, batch_idx):
                seen.append(dict(self.trainer.callbacks[-1].faults.counts))

        with pytest.warns(UserWarning, match="expected training_step to return a dict of scalars.*or to call self.log"):
            fit(quiet_trainer, memory_logger, Silent(VALUES[:20]), every_n_steps=5)
        assert [bool(counts) for counts in seen] == [False] * 4 + [True] * 16
        assert seen[-1] == {"MetricsCallback": 1}

    def test_is_reported_at_the_end_of_a_shorter_run(self, quiet_trainer, memory_logger):
        with pytest.warns(UserWarning, match="expected training_step to return a dict of scalars"):
            fit(quiet_trainer, memory_logger, self.Silent(VALUES[:3]), every_n_steps=5)


class Scored(Supervised):
    """Returns torchmetrics objects that it updates."""

    def __init__(self, script):
        super().__init__(script)
        self.accuracy = BinaryAccuracy()
        self.scores = MetricCollection({"recall": BinaryRecall(), "auroc": BinaryAUROC()})

    def training_step(self, batch, batch_idx):
        for metric in (self.accuracy, self.scores):
            metric.update(DRAWN[batch_idx], TARGETS[batch_idx])
        return {**super().training_step(batch, batch_idx), "accuracy": self.accuracy, "scores": self.scores}


class TestReturnedMetricObjects:
    """They are computed where an interval ends, over its examples, as torchmetrics' functions compute them."""

    def test_each_interval_stands_by_itself(self, quiet_trainer, memory_logger):
        trainer = fit(quiet_trainer, memory_logger, Scored(losses(*range(20))), every_n_steps=8)
        functions = {
            "train/accuracy": binary_accuracy,
            "train/scores/recall": binary_recall,
            "train/scores/auroc": binary_auroc,
        }
        for tag, function in functions.items():
            ends = {8: slice(0, 8), 16: slice(8, 16), 20: slice(16, 20)}
            expected = [(end, function(DRAWN[at].ravel(), TARGETS[at].ravel()).item()) for end, at in ends.items()]
            assert memory_logger.series(tag) == [(end, pytest.approx(value)) for end, value in expected]
        assert memory_logger.series("train/loss") == [(8, 3.5), (16, 11.5), (20, 17.5)]
        assert trainer.callback_metrics["train/accuracy"] == memory_logger.series("train/accuracy")[-1][1]

    def test_one_that_cannot_be_computed_is_reset_and_costs_no_other(self, quiet_trainer, memory_logger):
        class Unequal(Scored):
            def __init__(self, script):
                super().__init__(script)
                self.r2 = R2Score()

            def training_step(self, batch, batch_idx):
                if batch_idx != 0:  # one number in the first interval; it needs two
                    self.r2.update(*DRAWN[batch_idx].ravel()[:2, None])
                return {**super().training_step(batch, batch_idx), "r2": self.r2}

        with pytest.warns(PufferWarning, match="metric r2: left out after ValueError: Needs at least two samples"):
            fit(quiet_trainer, memory_logger, Unequal(losses(*range(4))), every_n_steps=2)
        assert [step for step, _ in memory_logger.series("train/accuracy")] == [2, 4]
        drawn = [[DRAWN[at].ravel()[which].item() for at in (2, 3)] for which in (0, 1)]
        residual = sum((given - target) ** 2 for given, target in zip(*drawn, strict=True))
        total = sum((target - sum(drawn[1]) / 2) ** 2 for target in drawn[1])
        assert memory_logger.series("train/r2") == [(4, pytest.approx(1 - residual / total, rel=1e-4))]

    def test_one_that_is_not_updated_has_no_point(self, quiet_trainer, memory_logger):
        class Once(Scored):
            def training_step(self, batch, batch_idx):
                if batch_idx == 0:
                    self.accuracy.update(DRAWN[0], TARGETS[0])
                return {**Supervised.training_step(self, batch, batch_idx), "accuracy": self.accuracy}

        with warned() as warnings:
            fit(quiet_trainer, memory_logger, Once(losses(*range(20))), every_n_steps=8)
        assert warnings == []
        assert [step for step, _ in memory_logger.series("train/accuracy")] == [8]
