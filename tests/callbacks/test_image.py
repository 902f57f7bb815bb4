import io

import numpy as np
import pytest
import torch
from gymnasium import spaces
from PIL import Image as Pillow

from puffer_callbacks import Image, RolloutCallback
from puffer_callbacks.callbacks.image import ImageCallback
from tests.support.models import Agent, Supervised, losses, random_rollout
from tests.support.reading import accumulator
from tests.support.warned import warned


def fit(quiet_trainer, logger, callback, *, observations=None, batches=16, strict=False, **fields):
    def make(at, env_steps):
        given = {} if observations is None else {"observations": observations(at)}
        return random_rollout(at, env_steps, **given, **fields)

    trainer = quiet_trainer(logger=logger, callbacks=[callback, RolloutCallback()])
    trainer.fit(Agent(losses(*[0.0] * batches), make=make))


def test_every_so_many_rollouts_there_is_a_picture(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, ImageCallback(every_n_rollouts=2))
    series = memory_logger.series("observations")
    assert [step for step, _ in series] == [32, 64]
    assert all(isinstance(image, Image) for _, image in series)
    assert "environments 0 to 1, steps 0 to 7; env 0: step 7, action" in series[0][1].caption


def test_always_the_same_environments(quiet_trainer, memory_logger):
    def observations(at):
        eyes = torch.zeros(8, 2, 8, 8, 3, dtype=torch.uint8)
        eyes[:, 0], eyes[:, 1] = 100 + at, 200 + at
        return eyes

    fit(quiet_trainer, memory_logger, ImageCallback(1, num_envs=1), observations=observations)
    shown = memory_logger.series("observations")
    assert len(shown) > 1
    for at, (_, image) in enumerate(shown):
        assert (image.pixels == 100 + at).all(-1).sum() >= 6 * 128 * 128
        assert "environment 0," in image.caption


def test_tensorboard_shows_the_picture(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import TensorBoardLogger

    logger = TensorBoardLogger(tmp_path, name="", version="")
    fit(quiet_trainer, logger, ImageCallback(every_n_rollouts=2))
    events = accumulator(tmp_path).Images("observations")
    assert [event.step for event in events] == [32, 64]
    picture = Pillow.open(io.BytesIO(events[0].encoded_image_string))
    assert picture.size == (events[0].width, events[0].height) and picture.format == "PNG"
    assert len(np.unique(np.asarray(picture))) > 50


def test_wandb_and_csv_keep_the_file(quiet_trainer, tmp_path):
    from lightning.pytorch.loggers import CSVLogger, WandbLogger

    loggers = [CSVLogger(tmp_path, name="csv", version=""), WandbLogger(offline=True, save_dir=tmp_path)]
    fit(quiet_trainer, loggers, ImageCallback(every_n_rollouts=4))
    loggers[1].experiment.finish()
    found = [path for path in tmp_path.rglob("*.png") if "observations" in path.name]
    assert {path.relative_to(tmp_path).parts[0] for path in found} == {"csv", "wandb"}


def test_a_picture_beyond_its_budget_is_scaled_down_not_dropped(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, ImageCallback(4, max_bytes=2_000))
    ((_, image),) = memory_logger.series("observations")
    assert "scaled down from" in image.caption


SPACES = {
    "box": spaces.Box(-1, 1, (3,)),
    "discrete": spaces.Discrete(5),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "multi-binary": spaces.MultiBinary(6),
    "dict": spaces.Dict(camera=spaces.Box(0, 1, (8, 8)), speed=spaces.Box(-1, 1, (2,))),
    "tuple": spaces.Tuple((spaces.Box(-1, 1, (2,)), spaces.Discrete(2))),
    "text": spaces.Text(8),
    "sequence": spaces.Sequence(spaces.Box(-1, 1, (2,)), seed=1),
}
TENSORS = ("box", "discrete", "multi-discrete", "multi-binary")


@pytest.mark.parametrize("name", SPACES)
def test_every_space_goes_through(quiet_trainer, memory_logger, name):
    space = SPACES[name]
    space.seed(0)
    steps = [[space.sample() for _ in range(2)] for _ in range(8)]
    observations = torch.as_tensor(np.array(steps)) if name in TENSORS else steps
    try:
        random_rollout(0, 0, observations=observations)
    except TypeError:
        pytest.skip("a Rollout holds tensors alone")
    with warned() as reported:
        fit(quiet_trainer, memory_logger, ImageCallback(4), observations=lambda at: observations)
    assert not reported
    found = [tag for tag in memory_logger.tags if tag.startswith("observations")]
    leaves = {"dict": ["camera", "speed"], "tuple": ["0", "1"]}.get(name)
    assert found == ([f"observations/{leaf}" for leaf in leaves] if leaves else ["observations"])


def test_an_observation_without_pixels_is_one_warning_and_training_goes_on(quiet_trainer, memory_logger):
    with warned() as reported:
        fit(
            quiet_trainer,
            memory_logger,
            ImageCallback(every_n_rollouts=1),
            observations=lambda at: torch.zeros(8, 2, 0, 84, 3),
        )
    assert len(reported) == 1
    assert "observations: expected an observation with at least one value" in reported[0]
    assert "[8, 2, 0, 84, 3]" in reported[0] and "training goes on" in reported[0]
    assert len(memory_logger.series("train/reward")) == 4


def test_a_diverged_observation_is_shown(quiet_trainer, memory_logger):
    fit(
        quiet_trainer,
        memory_logger,
        ImageCallback(4),
        observations=lambda at: torch.full((8, 2, 9, 9), torch.nan),
    )
    ((_, image),) = memory_logger.series("observations")
    assert "972 not finite (magenta)" in image.caption


def test_a_supervised_module_has_no_pictures_and_no_trouble(quiet_trainer, memory_logger):
    with warned() as reported:
        quiet_trainer(logger=memory_logger, callbacks=[ImageCallback(1)]).fit(Supervised(losses(1.0, 2.0)))
    assert not reported and "observations" not in memory_logger.tags


def test_the_interval_goes_on_after_a_resume():
    callback, resumed = ImageCallback(3), ImageCallback(3)
    callback._every.fires(2)
    resumed.load_state_dict(callback.state_dict())
    assert resumed._every.is_due(3)


@pytest.mark.parametrize("argument", ["every_n_rollouts", "num_envs", "num_samples", "max_bytes"])
def test_numbers_below_one_are_refused(argument):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ImageCallback(**{argument: 0})
