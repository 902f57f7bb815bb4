"""Environment steps after a resume, whether the module saves its count or not."""

import pytest
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
    ],
)
def test_a_count_continues(first, counts, expected):
    count = ContinuedCount()
    count.resume_at(96)
    count.start(first)
    assert [count.of(each) for each in counts] == expected


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


class KnownToRolloutsAlone(Supervised):
    """A module without ``env_steps``, whose rollouts count from its own beginning."""

    collected = 0

    def training_step(self, batch, batch_idx):
        if self.step % 4 == 0:
            emit(self, "on_rollout_end", random_rollout(0, self.collected))
            self.collected += 16
        return super().training_step(batch, batch_idx)


def resumed(tmp_path, quiet_trainer, make):
    """The x of the rows and their returns, of two epochs with a resume in a fresh module between them."""
    memories = []
    for epochs, checkpoint in ((1, None), (2, tmp_path / "last.ckpt")):
        memories.append(MemoryLogger())
        saves = ModelCheckpoint(tmp_path, filename="last", enable_version_counter=False)
        callbacks = [*default_callbacks(metrics=4), saves]
        trainer = quiet_trainer(max_epochs=epochs, logger=memories[-1], callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(make(losses(*[1.0] * 12)), ckpt_path=checkpoint, weights_only=False)
    return [memory.series("time/env_steps") for memory in memories]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("make", [Agent, Saves, KnownToRolloutsAlone])
def test_every_rollout_after_a_resume_is_a_point(tmp_path, quiet_trainer, make):
    before, after = resumed(tmp_path, quiet_trainer, make)
    assert before == [(16, 16.0), (32, 32.0), (48, 48.0)]
    assert after == [(48, 48.0), (64, 64.0), (80, 80.0), (96, 96.0)]  # the first was open in the checkpoint
