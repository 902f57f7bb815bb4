"""What is logged is where Lightning's own callbacks and schedulers look for it, in time."""

import pickle
from copy import deepcopy

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar

from puffer_callbacks import MetricsCallback, PufferCallback, Rollout, RolloutCallback, default_callbacks, log
from tests.support.models import Agent, Supervised, losses

LOSSES = [4.0, 3.0, 2.0, 1.0, 5.0, 6.0, 7.0, 8.0]


class EightBatches(Supervised):
    """Epochs of eight batches, with the same losses in each."""

    def training_step(self, batch, batch_idx):
        self.step = batch_idx
        return super().training_step(batch, batch_idx)

    def train_dataloader(self):
        return range(8)


class Rewarded(Agent):
    """A rollout every two batches, whose one episode has the return of the schedule."""

    def __init__(self, returns, **arguments):
        super().__init__(losses(*[0.0] * (2 * len(returns))), updates=2, make=self.rollout, **arguments)
        self.returns = returns

    def rollout(self, at, env_steps):
        return Rollout(episode_returns=torch.tensor([self.returns[at]]), env_steps=env_steps + 10)


def fit(quiet_trainer, module, *callbacks, **arguments):
    trainer = quiet_trainer(callbacks=list(callbacks), **arguments)
    trainer.fit(module)
    return trainer


def test_a_checkpoint_by_steps_keeps_the_best_of_them(quiet_trainer, tmp_path):
    best = ModelCheckpoint(tmp_path, "{step}", monitor="train/loss", every_n_train_steps=1)
    module = EightBatches(losses(*LOSSES))
    fit(quiet_trainer, module, *default_callbacks(metrics=1), best, enable_checkpointing=True)
    assert best.best_model_path.endswith("step=4.ckpt") and best.best_model_score == 1.0


class LogsItsStep(PufferCallback):
    """Logs at each step, whatever else is due."""

    def on_step(self, trainer, pl_module, metrics):
        log(trainer, {"own": float(trainer.global_step)})


def test_a_checkpoint_sees_what_a_callback_logged_at_the_same_step(quiet_trainer, tmp_path):
    """Also at steps where the recorder writes a row and nothing of its own is due."""
    saved = ModelCheckpoint(tmp_path, "{step}-{own:.0f}", monitor="own", every_n_train_steps=1, save_top_k=-1)
    callbacks = [*default_callbacks(metrics=3), LogsItsStep(), saved]
    fit(quiet_trainer, EightBatches(losses(*LOSSES)), *callbacks, enable_checkpointing=True)
    assert {path.stem for path in tmp_path.iterdir()} == {f"step={step}-own={step}" for step in range(1, 9)}


def test_a_checkpoint_by_epochs_sees_the_interval_that_is_open(quiet_trainer, tmp_path):
    best = ModelCheckpoint(tmp_path, "{epoch}", monitor="train/loss", save_top_k=-1)
    fit(quiet_trainer, EightBatches(losses(*LOSSES)), MetricsCallback(50), best, enable_checkpointing=True)
    assert best.best_model_score == pytest.approx(sum(LOSSES) / 8)


def test_a_checkpoint_of_the_best_return(quiet_trainer, tmp_path):
    best = ModelCheckpoint(tmp_path, "{step}", monitor="train/reward", mode="max", every_n_train_steps=2)
    module = Rewarded([1.0, 9.0, 3.0, 4.0])
    fit(quiet_trainer, module, *default_callbacks(health=False), best, enable_checkpointing=True)
    assert best.best_model_path.endswith("step=4.ckpt") and best.best_model_score == 9.0


def test_early_stopping_at_the_end_of_the_epochs(quiet_trainer):
    stop = EarlyStopping("train/loss", patience=2)
    trainer = fit(quiet_trainer, EightBatches(losses(*LOSSES)), stop, MetricsCallback(4), max_epochs=10)
    assert trainer.current_epoch == 3, "no better loss in two epochs after the first"


def test_a_metric_that_is_logged_once_an_epoch_stops_early(quiet_trainer):
    class Logs(EightBatches):
        def on_train_epoch_end(self):
            log(self, {"own/score": float(self.trainer.current_epoch)})

    stop = EarlyStopping("own/score", mode="min", patience=1, check_on_train_epoch_end=True)
    trainer = fit(quiet_trainer, Logs(losses(*LOSSES)), stop, MetricsCallback(4), max_epochs=10)
    assert trainer.current_epoch == 2


class Plateau(EightBatches):
    """Halves its learning rate as soon as the loss is no better than before."""

    interval, frequency = "epoch", 1

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        every = {"interval": self.interval, "frequency": self.frequency}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": "train/loss", **every}}


def test_a_plateau_scheduler_by_epochs(quiet_trainer):
    trainer = fit(quiet_trainer, Plateau(losses(*LOSSES)), MetricsCallback(8), max_epochs=4)
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.1 / 2**3


def test_a_plateau_scheduler_by_steps(quiet_trainer):
    class BySteps(Plateau):
        interval, frequency = "step", 4

    trainer = fit(quiet_trainer, BySteps(losses(*LOSSES)), MetricsCallback(2))
    # before steps 4 and 8 the last whole interval is of steps 2 and 6: the losses 3.5 and 5.5
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.1 / 2


def test_the_progress_bar_shows_the_return_and_the_loss(quiet_trainer):
    shown = {}

    class Looks(Callback):
        def on_train_end(self, trainer, pl_module):
            shown.update(trainer.progress_bar_metrics)

    bar = TQDMProgressBar(refresh_rate=0)
    callbacks = [*default_callbacks(metrics=2, health=False), Looks(), bar]
    fit(quiet_trainer, Rewarded([1.0, 9.0, 3.0, 4.0]), *callbacks, enable_progress_bar=True)
    assert (shown["reward"], shown["loss"]) == (4.0, 0.0)


def test_numbers_of_one_point_are_published_as_they_are_recorded(quiet_trainer):
    seen = []

    class Twice(EightBatches):
        def training_step(self, batch, batch_idx):
            log(self, {"own": 1.0})
            log(self, {"own": 3.0})
            return super().training_step(batch, batch_idx)

        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append(self.trainer.callback_metrics.get("own"))

    fit(quiet_trainer, Twice(losses(*LOSSES)), RolloutCallback())
    assert seen == [2.0] * 8


def test_what_is_logged_in_validation_is_monitored(quiet_trainer, tmp_path):
    class Validates(EightBatches):
        def validation_step(self, batch, batch_idx):
            return None

        def on_validation_epoch_end(self):
            log(self, {"own/score": float(self.trainer.current_epoch)})

        def val_dataloader(self):
            return range(1)

    stop = EarlyStopping("own/score", mode="min", patience=1)
    module = Validates(losses(*LOSSES))
    trainer = fit(quiet_trainer, module, stop, MetricsCallback(4), max_epochs=10, num_sanity_val_steps=0)
    assert trainer.current_epoch == 2


def test_what_is_logged_before_training_is_monitored(quiet_trainer, tmp_path):
    """Lightning resets its metrics after the sanity check."""
    seen = []

    class Early(EightBatches):
        def on_fit_start(self):
            log(self, {"own/start": 1.0, "own/twice": 1.0})

        def validation_step(self, batch, batch_idx):
            log(self, {"own/sanity": 2.0, "own/twice": 3.0})

        def val_dataloader(self):
            return range(1)

        def on_train_batch_end(self, outputs, batch, batch_idx):
            seen.append({tag: float(n) for tag, n in self.trainer.callback_metrics.items() if tag.startswith("own/")})

    fit(quiet_trainer, Early(losses(*LOSSES)), MetricsCallback(4), num_sanity_val_steps=1, check_val_every_n_epoch=9)
    assert seen == [{"own/start": 1.0, "own/sanity": 2.0, "own/twice": 2.0}] * 8


def test_published_numbers_are_tensors_and_their_copies_plain_ones(quiet_trainer, tmp_path):
    trainer = fit(quiet_trainer, EightBatches(losses(*LOSSES)), MetricsCallback(4))
    loss = trainer.callback_metrics["train/loss"]
    assert isinstance(loss, torch.Tensor) and loss.ndim == 0 and f"{loss:.2f}" == "6.50"
    assert repr(loss) == "tensor(6.5000, dtype=torch.float64)"
    torch.save(loss, tmp_path / "loss.pt")
    results = [loss + 0, loss.squeeze(), deepcopy(loss), pickle.loads(pickle.dumps(loss)), torch.isnan(loss)]
    results.append(torch.load(tmp_path / "loss.pt", weights_only=True))
    assert {type(result) for result in results} == {torch.Tensor}
    assert [float(result) for result in results] == [6.5, 6.5, 6.5, 6.5, 0.0, 6.5]
    assert results[2].data_ptr() != loss.data_ptr()
