"""Every callback, resumed from checkpoints of every kind of moment, leaves the record of a run that never ended."""

import math
from contextlib import suppress
from itertools import pairwise

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import (
    GradientCallback,
    HealthCallback,
    HistogramCallback,
    HyperparametersCallback,
    ImageCallback,
    MetricsCallback,
    PlasticityCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    emit,
    log,
)
from tests.robustness.counted import TIMED
from tests.support.reading import accumulator

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore:Checkpoint directory",
        "ignore:You're resuming from a checkpoint that ended before the epoch ended",
        "ignore:The dirpath has changed",
        "ignore:.weights_only. was not set",
    ),
]
STEPS, EVERY = 30, 4
LOOKS = (
    *("diagnostics/first_kl", "diagnostics/training_steps", "diagnostics/weight_change/", "diagnostics/weight_norm/"),
    "health/ratio_not_one",
)
"""Of an update that a look follows; one that a checkpoint cuts in two is given up."""


def rollout_of(at, env_steps):
    """A rollout that is a function of the training step: 16 steps of 3 environments."""
    generator = torch.Generator().manual_seed(at + 1)
    numbers = {name: torch.randn(16, 3, generator=generator) for name in ("rewards", "values", "advantages", "returns")}
    return Rollout(
        observations=torch.randn(16, 3, 4, generator=generator),
        actions=torch.randint(0, 2, (16, 3), generator=generator),
        dones=torch.rand(16, 3, generator=generator) < 0.07,
        log_probs=-torch.rand(16, 3, generator=generator),
        infos={"success": (torch.rand(3, generator=generator) < 0.5).float()},
        env_steps=env_steps + 48,
        **numbers,
    )


class Agent(pl.LightningModule):
    """Everything is a function of the training step and of the weights, which checkpoints restore."""

    def __init__(self, ends_after=math.inf, ends_with=KeyboardInterrupt):
        super().__init__()
        self.save_hyperparameters({"gamma": 0.99, "env_id": "CartPole-v1"})
        torch.manual_seed(0)
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
        self.env_steps = self.at = 0
        self.ends_after, self.ends_with = ends_after, ends_with

    def forward(self, observations):
        return self.net(observations)

    def training_step(self, batch, batch_idx):
        if self.at >= self.ends_after:
            self.ends_after = math.inf
            raise self.ends_with
        at, self.at = self.at, self.at + 1
        if at % EVERY == 0:
            rollout = rollout_of(at, self.env_steps)
            self.env_steps = rollout.env_steps
            emit(self, "on_rollout_end", rollout)
        generator = torch.Generator().manual_seed(1000 + at)
        examples, targets = (torch.randn(8, size, generator=generator) for size in (4, 2))
        loss = (self(examples) - targets).square().mean()
        if at % 5 == 0:
            log(self, {"own/fifth": float(at)})
        if at % 7 == 0:
            self.log("seventh", float(at))
        return {"loss": loss, "approx_kl": loss.detach() / 100, "odd": math.nan if at % 3 else float(at)}

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.zeros(STEPS // 2, 4))

    def on_save_checkpoint(self, checkpoint):
        checkpoint["at"] = self.env_steps, self.at

    def on_load_checkpoint(self, checkpoint):
        self.env_steps, self.at = checkpoint["at"]


def trainer_of(folder):
    keep = ModelCheckpoint(folder / "checkpoints", filename="{step}", every_n_train_steps=1, save_top_k=-1)
    measured = [HistogramCallback(7, activations=True), GradientCallback(3), PlasticityCallback(6), ImageCallback(2)]
    others = [MetricsCallback(5), RolloutCallback(), HyperparametersCallback(), HealthCallback(flight_recorder=False)]
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=TensorBoardLogger(folder, name="", version="tensorboard", default_hp_metric=False),
        callbacks=[Recorder(overhead_budget=1.0), *measured, *others, keep],
        default_root_dir=folder,
        gradient_clip_val=0.5,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


def resume(trainer, module, folder, step):
    trainer.fit(module, ckpt_path=folder / "checkpoints" / f"step={step}.ckpt", weights_only=False)


def record(folder):
    """Every series that TensorBoard reads: scalars, histograms, pictures and words."""
    found = accumulator(folder / "tensorboard")
    tags = found.Tags()
    series = {
        tag: [(e.step, str(e.value) if tag not in TIMED else "") for e in found.Scalars(tag)] for tag in tags["scalars"]
    }
    series |= {tag: [(e.step, str(e.histogram_value)) for e in found.Histograms(tag)] for tag in tags["histograms"]}
    series |= {tag: [(e.step, hash(e.encoded_image_string)) for e in found.Images(tag)] for tag in tags["images"]}
    words = [tag for tag in tags["tensors"] if not tag.startswith(("_hparams_", "custom_scalars__"))]
    return series | {tag: [(e.step, str(e.tensor_proto)) for e in found.Tensors(tag)] for tag in words}


def assert_same(found, expected):
    """All of it; of the looks no point that the whole run has not."""
    looks = {tag for tag in expected if tag.startswith(LOOKS)}
    assert found.keys() | looks == expected.keys()
    for tag in expected.keys() - looks:
        assert found[tag] == expected[tag], tag
    for tag in looks - {tag for tag in looks if tag.startswith("health/")}:
        assert set(found.get(tag, ())) <= set(expected[tag]), tag


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The record of a run that never ended."""
    folder = tmp_path_factory.mktemp("whole")
    trainer_of(folder).fit(Agent())
    return record(folder)


@pytest.mark.parametrize("step", [3, 5, 6, 11, 14, 15, 16, 23, 29])
def test_a_new_process_s_trainer_goes_on(whole, tmp_path, step):
    with pytest.raises(SystemExit):
        trainer_of(tmp_path).fit(Agent(ends_after=min(step + 2, STEPS - 1)))
    resume(trainer_of(tmp_path), Agent(), tmp_path, step)
    assert_same(record(tmp_path), whole)


@pytest.mark.parametrize("step", [10, 13])
def test_the_trainer_that_failed_goes_on(whole, tmp_path, step):
    trainer, module = trainer_of(tmp_path), Agent(ends_after=17, ends_with=RuntimeError)
    with pytest.raises(RuntimeError):
        trainer.fit(module)
    resume(trainer, module, tmp_path, step)
    assert_same(record(tmp_path), whole)


def test_a_checkpoint_of_a_run_that_has_just_resumed_is_as_good(whole, tmp_path):
    class Saves(pl.Callback):
        def on_train_start(self, trainer, pl_module):  # before the recorder starts
            trainer.save_checkpoint(tmp_path / "checkpoints" / "step=again.ckpt")

    with pytest.raises(SystemExit):
        trainer_of(tmp_path).fit(Agent(ends_after=16))
    second = trainer_of(tmp_path)
    second.callbacks.insert(0, Saves())
    with pytest.raises(SystemExit):
        resume(second, Agent(ends_after=15), tmp_path, 13)
    resume(trainer_of(tmp_path), Agent(), tmp_path, "again")
    assert_same(record(tmp_path), whole)


def test_a_checkpoint_that_fails_to_load_leaves_nothing_in_the_callbacks(tmp_path):
    class Other(Agent):
        def configure_optimizers(self):
            return torch.optim.Adam([{"params": [each]} for each in self.parameters()], lr=0.01)

    with pytest.raises(SystemExit):
        trainer_of(tmp_path).fit(Agent(ends_after=16))
    failed = trainer_of(tmp_path / "again")
    with pytest.raises(ValueError, match="parameter groups"):
        resume(failed, Other(), tmp_path, 13)
    again, fresh = trainer_of(tmp_path / "again"), trainer_of(tmp_path / "fresh")
    again.callbacks = failed.callbacks
    again.fit(Agent())
    fresh.fit(Agent())
    assert record(tmp_path / "again") == record(tmp_path / "fresh")


def test_what_stops_early_finds_its_monitor_where_rollouts_were_pooled(tmp_path):
    def fit(stops_after, **arguments):
        module, callback = Agent(ends_after=stops_after), RolloutCallback()
        stop = EarlyStopping("rollout/return_mean", patience=99)
        keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = pl.Trainer(
            accelerator="cpu",
            max_epochs=2,
            logger=False,
            callbacks=[callback, stop, keep],
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=1,
        )
        module.on_train_start = lambda: setattr(callback._every, "multiplier", 8)
        with suppress(SystemExit):
            trainer.fit(module, weights_only=False, **arguments)
        return module.at

    assert fit(8) == 8
    assert fit(math.inf, ckpt_path=tmp_path / "step=7.ckpt") == STEPS


def test_a_second_fit_goes_on_after_the_last_row(tmp_path, memory_logger):
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1,
        logger=memory_logger,
        callbacks=[MetricsCallback(2), RolloutCallback()],
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    module = Agent()
    for epochs in (1, 2):
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(module)
    for tag in memory_logger.tags:
        steps = [step for step, _ in memory_logger.series(tag)]
        assert all(before < after for before, after in pairwise(steps)), tag
    seconds = [value for _, value in memory_logger.series("time/elapsed")]
    assert all(before < after for before, after in pairwise(seconds))
