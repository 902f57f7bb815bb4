import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from puffer_callbacks.ppo import PPO

pytestmark = pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")

SMALL = {"num_envs": 2, "num_steps": 32, "batch_size": 16, "update_epochs": 2, "total_timesteps": 320}


class Watch(pl.Callback):
    """Keeps each rollout's steps, learning rate and observations, and how often the optimizer has stepped."""

    def __init__(self):
        self.seen, self.observations = [], []

    def on_rollout_end(self, trainer, pl_module, rollout):
        optimizer = trainer.optimizers[0]
        updates = {int(state["step"]) for state in optimizer.state.values()} or {0}
        self.seen.append((rollout.env_steps, round(optimizer.param_groups[0]["lr"], 6), *updates))
        self.observations.append(rollout.observations)


@pytest.fixture
def fit(quiet_trainer):
    def fit(module, *callbacks, ckpt_path=None, **arguments):
        watch = Watch()
        trainer = quiet_trainer(callbacks=[watch, *callbacks], **{"max_epochs": -1, **arguments})
        trainer.fit(module, ckpt_path=ckpt_path)
        return watch

    return fit


@pytest.fixture
def saved(fit, tmp_path):
    """A checkpoint of a run that was stopped after two of its five rollouts."""

    def save(**arguments):
        module = PPO("Pendulum", **SMALL, learning_rate=0.5, **arguments)
        keep = ModelCheckpoint(tmp_path, filename="half")
        fit(module, keep, max_epochs=2, enable_checkpointing=True)
        return module, tmp_path / "half.ckpt"

    return save


def test_steps_learning_rate_and_optimizer_continue(fit, saved):
    _, path = saved()
    module = PPO("Pendulum", **SMALL, learning_rate=0.5)
    watch = fit(module, ModelCheckpoint(path.parent), ckpt_path=path, enable_checkpointing=True)
    assert watch.seen == [(192, 0.3, 16), (256, 0.2, 24), (320, 0.1, 32)]
    assert module.env_steps == 320


def test_networks_and_normalizations_are_restored(saved):
    module, path = saved(norm_obs=True, norm_reward=True)
    loaded = PPO.load_from_checkpoint(path)
    assert loaded.env_steps == 128 and loaded.hparams == module.hparams
    assert loaded.hparams["env_id"] == "Pendulum-v1" and loaded.hparams["norm_obs"] is True
    for name, value in module.state_dict().items():
        assert loaded.state_dict()[name].equal(value), name
    assert loaded.policy.encode.moments.count.item() == loaded.reward_scaler.count.item() == 128


def test_a_resumed_run_has_new_episodes_and_is_reproducible(fit, saved):
    _, path = saved()
    fresh = fit(PPO("Pendulum", **SMALL))

    def resumed():
        module = PPO("Pendulum", **SMALL, learning_rate=0.5)
        fit_watch = fit(module, ModelCheckpoint(path.parent), ckpt_path=path, enable_checkpointing=True)
        return module, fit_watch.observations[0]

    (one, first), (two, again) = resumed(), resumed()
    assert first.equal(again) and not first.equal(fresh.observations[0])
    assert all(a.equal(b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_checkpoint_saved_within_an_epoch(fit, tmp_path):
    keep = ModelCheckpoint(tmp_path, every_n_train_steps=11, save_top_k=-1, filename="{step}")
    fit(PPO("Pendulum", **SMALL), keep, max_epochs=2, enable_checkpointing=True)
    module = PPO("Pendulum", **SMALL)
    path = tmp_path / "step=11.ckpt"  # the third update from the second rollout
    again = ModelCheckpoint(tmp_path, every_n_train_steps=11, save_top_k=-1, filename="{step}")
    watch = fit(module, again, ckpt_path=path, enable_checkpointing=True)
    assert [steps for steps, *_ in watch.seen] == [192, 256, 320]
    assert watch.seen[0][2] == 11 and watch.seen[1][2] == 16  # a new rollout, for the updates that were left


def test_after_updates_that_ended_early(fit, saved):
    _, path = saved(target_kl=1e-12)
    module = PPO("Pendulum", **SMALL, learning_rate=0.5, target_kl=1e-12)
    watch = fit(module, ModelCheckpoint(path.parent), ckpt_path=path, enable_checkpointing=True)
    assert watch.seen == [(192, 0.3, 8), (256, 0.2, 12), (320, 0.1, 16)]


def test_a_complete_run_stays_as_it_is_and_a_longer_one_continues(fit, tmp_path):
    keep = ModelCheckpoint(tmp_path, filename="end")
    done = PPO("Pendulum", **SMALL)
    fit(done, keep, enable_checkpointing=True)
    same, longer = PPO("Pendulum", **SMALL), PPO("Pendulum", **{**SMALL, "total_timesteps": 448})
    for module, steps in ((same, []), (longer, [384, 448])):
        again = ModelCheckpoint(tmp_path, filename="end")
        watch = fit(module, again, ckpt_path=tmp_path / "end.ckpt", enable_checkpointing=True)
        assert [seen for seen, *_ in watch.seen] == steps
    assert all(torch.equal(a, b) for a, b in zip(done.parameters(), same.parameters(), strict=True))
