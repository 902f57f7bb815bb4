"""Lightning's own callbacks beside all of ours: each fit is to the bit as without ours, and what ours log is right."""

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    BatchSizeFinder,
    EarlyStopping,
    EMAWeightAveraging,
    GradientAccumulationScheduler,
    LearningRateFinder,
    LearningRateMonitor,
    ModelCheckpoint,
    OnExceptionCheckpoint,
    StochasticWeightAveraging,
)

from tests.lightning.fits import (
    BATCH_SIZE,
    BATCHES,
    ENV_STEPS,
    EPOCHS,
    INTERVAL,
    Learner,
    both,
    check,
    fit,
    means,
    points,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:.*Found .* module.* in eval mode"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint"),
    pytest.mark.filterwarnings("ignore:.*there is no last checkpoint available"),
    pytest.mark.filterwarnings("ignore:.*was called without a model"),
    pytest.mark.filterwarnings("ignore:.*your dataloader is not resumable"),
]
RETURNS = (3.0, 1.0, 9.0, 4.0, 7.0, 2.0, 8.0, 5.0)
"""Of the rollouts of four epochs, two in each."""


def with_returns():
    return Learner(RETURNS)


def test_model_checkpoint_by_steps_keeps_the_best_returns(tmp_path):
    best = lambda: ModelCheckpoint(  # noqa: E731
        tmp_path / "best", monitor="train/reward", mode="max", save_top_k=3, every_n_train_steps=INTERVAL
    )
    found = fit(tmp_path, best, with_ours=True, make=with_returns, enable_checkpointing=True)
    plain = fit(tmp_path, None, with_ours=False, make=with_returns)
    assert all(map(torch.equal, found.weights(), plain.weights()))
    check(found)
    kept = {path.rpartition("step=")[2]: score.item() for path, score in found.stock.best_k_models.items()}
    steps = np.argsort(RETURNS)[::-1][:3]
    assert kept == {f"{INTERVAL * (at + 1)}.ckpt": RETURNS[at] for at in steps}
    saved = torch.load(found.stock.best_model_path, weights_only=True)
    assert saved["global_step"] == INTERVAL * (1 + int(np.argmax(RETURNS)))


def test_model_checkpoint_by_epochs_keeps_the_lowest_loss(tmp_path):
    best = lambda: ModelCheckpoint(tmp_path / "best", monitor="train/loss", save_top_k=-1)  # noqa: E731
    found = fit(tmp_path, best, with_ours=True, enable_checkpointing=True)
    check(found)
    last = means(found.module.losses)[1::2]  # of each epoch's second interval
    scores = [found.stock.best_k_models[path].item() for path in sorted(found.stock.best_k_models)]
    assert scores == pytest.approx(last, rel=1e-6)
    assert found.stock.best_model_score == pytest.approx(min(last), rel=1e-6)


def test_a_checkpoint_resumes_without_ours_and_with_them(tmp_path):
    last = lambda: ModelCheckpoint(tmp_path / "last", save_top_k=-1)  # noqa: E731
    both(tmp_path, None, make=with_returns)
    found = fit(tmp_path, last, with_ours=True, make=with_returns, enable_checkpointing=True)
    (second,) = (tmp_path / "last").glob("epoch=1-*.ckpt")
    for resumes_with_ours in (False, True):
        again = fit(tmp_path, None, with_ours=resumes_with_ours, make=with_returns, ckpt_path=second)
        assert all(map(torch.equal, again.weights(), found.weights()))


def test_early_stopping_on_the_return(tmp_path):
    best = max(RETURNS[1::2][:3])  # the second rollout of each epoch is what an epoch ends with
    assert RETURNS[1::2] == (1.0, 4.0, 2.0, 5.0) and best == 4.0
    stops = lambda: EarlyStopping("train/reward", mode="max", patience=1, check_on_train_epoch_end=True)  # noqa: E731
    found = fit(tmp_path, stops, with_ours=True, make=with_returns)
    plain = fit(tmp_path, None, with_ours=False, make=with_returns, max_epochs=3)
    assert found.stock.stopped_epoch == 2 and found.stock.best_score == best
    assert all(map(torch.equal, found.weights(), plain.weights()))
    check(found)


class Scheduled(Learner):
    """A rate that falls with each step."""

    def configure_optimizers(self):
        optimizer = super().configure_optimizers()
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def test_learning_rate_monitor(tmp_path):
    found, plain = both(tmp_path, lambda: LearningRateMonitor("step"), make=Scheduled)
    assert found.module.rates == pytest.approx([0.05 * 0.9**at for at in range(EPOCHS * BATCHES)])
    assert found.logger.series("lr-SGD") == plain.logger.series("lr-SGD")
    assert [value for _, value in found.logger.series("lr-SGD")] == pytest.approx(found.module.rates)
    check(found)


def test_stochastic_weight_averaging(tmp_path):
    average = lambda: StochasticWeightAveraging(swa_lrs=0.01, swa_epoch_start=2, annealing_epochs=1)  # noqa: E731
    found, _ = both(tmp_path, average)
    assert found.module.rates[-1] == pytest.approx(0.01)
    check(found)


def test_ema_weight_averaging(tmp_path):
    found, _ = both(tmp_path, lambda: EMAWeightAveraging(decay=0.9))
    plain = fit(tmp_path, None, with_ours=False)
    assert found.module.losses == plain.module.losses  # it trains the same weights, and averages beside them
    assert not all(map(torch.equal, found.weights(), plain.weights()))
    check(found)


def test_backbone_finetuning(tmp_path):
    found, _ = both(tmp_path, lambda: BackboneFinetuning(2, backbone_initial_lr=0.01, train_bn=False))
    check(found)
    frozen = 2 * BATCHES // INTERVAL
    rows = [ENV_STEPS * (at + 1) for at in range(EPOCHS * BATCHES // INTERVAL)]
    assert [step for step, _ in points(found, "gradient_norm/head")] == rows
    assert [step for step, _ in points(found, "gradient_norm/backbone.0")] == rows[frozen:]
    histograms = found.logger.series("gradients/backbone.0.weight")
    assert [step for step, _ in histograms] == rows[frozen:]
    assert [step for step, _ in points(found, "train/learning_rate/group_1")] == rows[frozen:]


def test_gradient_accumulation_scheduler(tmp_path):
    found, _ = both(tmp_path, lambda: GradientAccumulationScheduler({0: 1, 2: 2}), make=with_returns)
    losses, norms = found.module.losses, found.module.norms
    assert len(norms) == 2 * BATCHES + BATCHES  # steps of two epochs, then of two with half as many
    # rows stand at rollouts; after two epochs an interval of four optimizer steps takes eight batches
    ends = [*range(INTERVAL, 2 * BATCHES + 1, INTERVAL), *range(3 * BATCHES, 4 * BATCHES + 1, BATCHES)]
    expected = [np.mean(losses[begin:end]) for begin, end in zip([0, *ends], ends, strict=False)]
    rows = [end // INTERVAL * ENV_STEPS for end in ends]
    np.testing.assert_allclose(points(found, "train/loss"), list(zip(rows, expected, strict=True)), rtol=1e-6)
    fired = norms[INTERVAL - 1 :: INTERVAL]
    np.testing.assert_allclose(points(found, "gradient_norm/total"), list(zip(rows, fired, strict=True)), rtol=1e-5)
    assert [value for _, value in points(found, "train/reward")] == list(RETURNS)


def test_learning_rate_finder(tmp_path):
    finder = lambda: LearningRateFinder(1e-3, 0.5, num_training_steps=40, early_stop_threshold=None)  # noqa: E731
    found, plain = both(tmp_path, finder)
    assert found.module.lr == plain.module.lr != 0.05
    trained = EPOCHS * BATCHES
    rows = [step for step, _ in points(found, "train/loss")]
    assert [value for _, value in points(found, "train/loss")] == pytest.approx(
        means(found.module.losses[-trained:]), rel=1e-6
    )
    assert [value for _, value in points(found, "train/learning_rate")] == [found.module.lr] * (trained // INTERVAL)
    assert rows == sorted(set(rows))
    assert points(found, "time/optimizer_steps")[-1][1] == trained


def test_batch_size_finder(tmp_path):
    found, plain = both(tmp_path, lambda: BatchSizeFinder(init_val=2, max_trials=3, steps_per_trial=2))
    assert found.module.batch_size == plain.module.batch_size == 8
    trained = EPOCHS * BATCHES * BATCH_SIZE // found.module.batch_size
    assert [value for _, value in points(found, "train/loss")] == pytest.approx(
        means(found.module.losses[-trained:]), rel=1e-6
    )
    assert points(found, "time/optimizer_steps")[-1][1] == trained


class Fails(Learner):
    """Fails once, in the third epoch."""

    failed = False

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 2 and batch_idx == 5 and not type(self).failed:
            type(self).failed = True
            raise RuntimeError("the simulator died")
        return super().training_step(batch, batch_idx)


@pytest.mark.filterwarnings("ignore:.*was called without a model", "ignore:.*resuming from a checkpoint that ended")
def test_on_exception_checkpoint(tmp_path):
    saves = OnExceptionCheckpoint(tmp_path / "saved")
    with pytest.raises(RuntimeError, match="the simulator died"):
        fit(tmp_path, lambda: saves, with_ours=True, make=Fails, enable_checkpointing=True)
    found = fit(tmp_path, None, with_ours=True, make=Fails, ckpt_path=saves.ckpt_path)
    done = 2 * BATCHES + 5
    assert found.trainer.global_step == EPOCHS * BATCHES
    assert points(found, "time/optimizer_steps")[-1][1] == EPOCHS * BATCHES
    losses = found.module.losses
    assert len(losses) == EPOCHS * BATCHES - done
    # the interval that the exception cut has one loss from before it, which the checkpoint carries
    assert [value for _, value in points(found, "train/loss")][1:] == pytest.approx(means(losses[3:]), rel=1e-6)
