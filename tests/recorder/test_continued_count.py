"""Environment steps after a resume, whether the module saves its count or not."""

from functools import partial

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from puffer_callbacks import MemoryLogger, default_callbacks, emit
from puffer_callbacks.recorder.continued_count import ContinuedCount
from tests.support.models import Agent, Supervised, losses, random_rollout


@pytest.mark.parametrize(
    "first, counts, expected",
    [
        (0, [0, 16, 32], [96, 112, 128]),  # an attribute that no checkpoint has
        (96, [96, 112, 128], [96, 112, 128]),  # a module that saves it
        (0, [0, 96, 112], [96, 96, 112]),  # one that restores it late
        (128, [128, 144], [96, 112]),  # a resume at an earlier point in the same process
        (None, [16, 32], [112, 128]),  # rollouts alone know it, and begin anew
        (None, [112, 128], [112, 128]),  # or continue
        (0, [0, 112, 128], [96, 112, 128]),  # restored late, and seen after its next rollout only
        (48, [48, 112, 128], [96, 112, 128]),
        (128, [112, 128], [112, 128]),  # at an earlier point in the same process, restored late
    ],
)
def test_a_count_continues(first, counts, expected):
    count = ContinuedCount()
    count.resume_at(96)
    count.start(first)
    assert [count.of(each) for each in counts] == expected


@pytest.mark.parametrize(
    "first_rise, expected",
    [
        (96, [192, 288]),  # the checkpoint's only rollout, and one as large of a count that begins anew
        (16, [96, 192]),  # restored: a count that begins anew would rise by 16
        (None, [96, 192]),  # a checkpoint without it
    ],
)
@pytest.mark.parametrize("first", [0, None])
def test_a_count_that_equals_the_checkpoint_s_begins_anew_after_one_rollout(first, first_rise, expected):
    count = ContinuedCount()
    count.resume_at(96, first_rise=first_rise)
    count.start(first)
    assert [count.of(each) for each in (96, 192)] == expected


def test_how_far_a_count_first_rose_is_kept_over_several_resumes():
    life = ContinuedCount()
    life.start(8)
    assert [life.of(each) for each in (8, 24, 40)] == [8, 24, 40]
    assert life.first_rise == 16
    resumed = ContinuedCount()
    resumed.resume_at(40, first_rise=life.first_rise)
    resumed.start(0)
    assert [resumed.of(each) for each in (0, 20)] == [40, 60]
    assert resumed.first_rise == 16


def test_without_a_resume_a_count_is_what_it_is():
    count = ContinuedCount()
    count.start(5)
    assert [count.of(each) for each in (5, 7, 3)] == [5, 7, 3]


class Saves(Agent):
    """A module that saves its count."""

    def on_save_checkpoint(self, checkpoint):
        checkpoint["env_steps"] = self.env_steps

    def on_load_checkpoint(self, checkpoint):
        self.env_steps = checkpoint["env_steps"]


class RestoresLate(Agent):
    """A module that keeps its count in a buffer, and takes it from there once training has started."""

    def __init__(self, script):
        super().__init__(script)
        self.register_buffer("collected", torch.tensor(0))

    def on_train_start(self):
        self.env_steps = int(self.collected)

    def training_step(self, batch, batch_idx):
        outputs = super().training_step(batch, batch_idx)
        self.collected.fill_(self.env_steps)
        return outputs


class KnownToRolloutsAlone(Supervised):
    """A module without ``env_steps``, whose rollouts count from its own beginning."""

    collected = 0

    def training_step(self, batch, batch_idx):
        if self.step % 4 == 0:
            emit(self, "on_rollout_end", random_rollout(0, self.collected))
            self.collected += 16
        return super().training_step(batch, batch_idx)


class AddsInPlace(Supervised):
    """A module whose count is a tensor, a buffer of its checkpoints or not, to which it adds in place."""

    def __init__(self, script, *, saves):
        super().__init__(script)
        self.register_buffer("env_steps", torch.tensor(0), persistent=saves)

    def training_step(self, batch, batch_idx):
        if self.step % 4 == 0:
            rollout = random_rollout(0, int(self.env_steps))
            self.env_steps += 16
            emit(self, "on_rollout_end", rollout)
        return super().training_step(batch, batch_idx)


MODULES = [
    Agent,
    Saves,
    RestoresLate,
    KnownToRolloutsAlone,
    partial(AddsInPlace, saves=True),
    partial(AddsInPlace, saves=False),
]


def resumed(tmp_path, quiet_trainer, make, rollouts=3):
    """The x of the rows and their returns, of two epochs with a resume in a fresh module between them."""
    memories = []
    for epochs, checkpoint in ((1, None), (2, tmp_path / "last.ckpt")):
        memories.append(MemoryLogger())
        saves = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
        callbacks = [*default_callbacks(metrics=4), saves]
        trainer = quiet_trainer(max_epochs=epochs, logger=memories[-1], callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(make(losses(*[1.0] * 4 * rollouts)), ckpt_path=checkpoint, weights_only=False)
    return [memory.series("time/env_steps") for memory in memories]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("make", MODULES)
def test_every_rollout_after_a_resume_is_a_point(tmp_path, quiet_trainer, make):
    before, after = resumed(tmp_path, quiet_trainer, make)
    assert before == [(16, 16.0), (32, 32.0), (48, 48.0)]
    assert after == [(48, 48.0), (64, 64.0), (80, 80.0), (96, 96.0)]  # the first was open in the checkpoint


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("make", MODULES)
def test_a_checkpoint_after_the_first_rollout(tmp_path, quiet_trainer, make):
    before, after = resumed(tmp_path, quiet_trainer, make, rollouts=1)
    assert before == [(16, 16.0)]
    assert after == [(16, 16.0), (32, 32.0)]
