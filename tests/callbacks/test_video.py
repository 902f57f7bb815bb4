import io
import random

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from puffer_callbacks import RolloutCallback, Video
from puffer_callbacks.callbacks.video import VideoCallback, make_env
from puffer_callbacks.ppo.module import PPO
from tests.support.models import Agent, Supervised, losses
from tests.support.reading import accumulator
from tests.support.warned import warned
from tests.support.worlds import Dot


class Acting(Agent):
    def act(self, observations):
        return torch.ones(1, dtype=torch.long)


def run(quiet_trainer, callback, logger, module=None, **arguments):
    module = module or Acting(losses(*[0.0] * 16))
    quiet_trainer(logger=logger, callbacks=[callback, RolloutCallback()], **arguments).fit(module)
    return module


def test_every_so_many_rollouts_there_is_an_episode(quiet_trainer, memory_logger):
    run(quiet_trainer, VideoCallback(Dot, every_n_rollouts=2), memory_logger)
    series = memory_logger.series("episodes")
    assert [step for step, _ in series] == [32, 64]
    first, second = (video for _, video in series)
    assert isinstance(first, Video) and first.caption == "return 5 in 5 steps, ended, seed 0"
    assert np.array_equal(first.frames, second.frames)  # the same policy and seed


def test_the_environment_is_closed(quiet_trainer, memory_logger):
    made = []
    run(
        quiet_trainer,
        VideoCallback(lambda: made.append(Dot()) or made[-1], every_n_rollouts=2),
        memory_logger,
    )
    assert len(made) == 2 and all(env.closed for env in made)


def test_tensorboard_shows_an_animated_gif(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    run(
        quiet_trainer,
        VideoCallback(Dot, every_n_rollouts=4),
        TensorBoardLogger(tmp_path, name="", version=""),
    )
    (event,) = accumulator(tmp_path).Images("episodes")
    picture = Pillow.open(io.BytesIO(event.encoded_image_string))
    assert picture.format == "GIF" and picture.n_frames == 6 and picture.size == (event.width, event.height)


def test_wandb_and_csv_keep_the_file(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import CSVLogger, WandbLogger

    loggers = [CSVLogger(tmp_path, name="csv", version=""), WandbLogger(offline=True, save_dir=tmp_path)]
    run(quiet_trainer, VideoCallback(Dot, every_n_rollouts=4), loggers)
    loggers[1].experiment.finish()
    assert {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.gif")} == {"csv", "wandb"}


def test_the_reference_module_plays_its_own_environment(quiet_trainer, memory_logger):
    pytest.importorskip("pygame")
    module = PPO("CartPole", total_timesteps=256, num_envs=2, num_steps=64, batch_size=64, update_epochs=1)
    callback = VideoCallback(every_n_rollouts=1, max_steps=40)
    run(quiet_trainer, callback, memory_logger, module, max_epochs=-1)
    series = memory_logger.series("episodes")
    assert [step for step, _ in series] == [128, 256]
    assert series[0][1].frames.shape[2:] == (400, 3) and series[0][1].fps == 25


def test_an_environment_without_a_version_is_the_newest():
    pytest.importorskip("pygame")
    env = make_env("CartPole")
    assert env.spec.id == "CartPole-v1" and env.render_mode == "rgb_array"
    env.close()


def test_a_long_episode_is_cut_and_a_large_video_scaled_down(quiet_trainer, memory_logger):
    callback = VideoCallback(lambda: Dot(length=900), every_n_rollouts=4, max_steps=30, max_bytes=3_000)
    run(quiet_trainer, callback, memory_logger)
    ((_, video),) = memory_logger.series("episodes")
    assert "cut at max_steps=30" in video.caption and "scaled down from" in video.caption


@pytest.mark.parametrize(
    ("env_id", "module", "reason"),
    [
        (lambda: Dot(render_mode=None), Acting, "make the environment with render_mode='rgb_array'"),
        (Dot, Agent, "Give the module a method act(observations)"),
        (None, Acting, "found no env_id in Acting; give env_id="),
        ("NoSuchWorld-v0", Acting, "NoSuchWorld"),
        ("NoSuchWorld", Acting, "NoSuchWorld"),
    ],
)
def test_what_cannot_be_recorded_is_one_warning_and_training_goes_on(
    quiet_trainer, memory_logger, env_id, module, reason
):
    with warned() as reported:
        callback = VideoCallback(env_id, every_n_rollouts=1)
        run(quiet_trainer, callback, memory_logger, module(losses(*[0.0] * 16)))
    assert len(reported) == 1 and "VideoCallback" in reported[0] and reason in reported[0]
    assert len(memory_logger.series("train/reward")) == 4


def test_without_a_seed_each_episode_is_another(quiet_trainer, memory_logger):
    state = random.getstate()
    run(quiet_trainer, VideoCallback(Dot, every_n_rollouts=2, seed=None), memory_logger)
    seeds = [video.caption.rpartition(" ")[2] for _, video in memory_logger.series("episodes")]
    assert len(seeds) == 2 and seeds[0] != seeds[1] and "None" not in seeds
    assert random.getstate() == state


@pytest.mark.parametrize(("seed", "kind"), [("1", TypeError), (1.0, TypeError), (True, TypeError), (-1, ValueError)])
def test_a_seed_is_an_integer_of_at_least_0(seed, kind):
    with pytest.raises(kind, match=r"^seed: expected an integer of at least 0, got "):
        VideoCallback("CartPole-v1", seed=seed)


@pytest.mark.parametrize("argument", ["every_n_rollouts", "max_steps", "max_bytes"])
def test_numbers_below_one_are_refused(argument):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        VideoCallback("CartPole-v1", **{argument: 0})


def test_a_missing_environment_is_reported_at_setup(quiet_trainer, memory_logger):
    trainer = quiet_trainer(logger=memory_logger, callbacks=[VideoCallback(every_n_rollouts=1000)])
    with pytest.warns(UserWarning, match=r"VideoCallback: .*found no env_id in Supervised; give env_id="):
        trainer.fit(Supervised(losses(1.0, 2.0)))
