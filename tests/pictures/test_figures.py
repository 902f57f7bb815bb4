"""Figures of rewards and actions."""

import sys

import pytest
import torch

from puffer_callbacks import ImageCallback, Rollout
from puffer_callbacks.pictures.figures import action_figure, reward_figure
from tests.support.models import Agent, losses


def rollout(actions: torch.Tensor, **fields: object) -> Rollout:
    zeros = torch.zeros(actions.shape[:2])
    return Rollout(torch.zeros(*zeros.shape, 3), actions, zeros, zeros.bool(), **fields)  # type: ignore[arg-type]


def test_rewards_by_component():
    infos = {"speed": torch.tensor([1.0, 2.0, float("nan")]), "fuel": torch.tensor([-0.5, -0.25])}
    picture = reward_figure(rollout(torch.zeros(4, 2), infos=infos))
    assert picture is not None and picture.caption == "2 episodes" and len(set(picture.pixels.ravel())) > 10
    taller = reward_figure(
        rollout(torch.zeros(4, 2), infos={**infos, **{f"part {i}": infos["fuel"] for i in range(4)}})
    )
    assert taller is not None and taller.pixels.shape[0] > picture.pixels.shape[0]


def test_the_title_is_whole_beside_long_names():
    infos = {"reward_forward_velocity_of_the_torso": torch.ones(4)}
    picture = reward_figure(rollout(torch.zeros(4, 2), infos=infos))
    assert picture is not None and (picture.pixels[:, -1] == 255).all()


def test_without_a_finished_episode_or_actions_there_is_no_figure():
    assert action_figure(Rollout()) is None and action_figure(rollout(torch.zeros(4, 2, 0))) is None
    assert reward_figure(Rollout()) is None
    assert reward_figure(rollout(torch.zeros(4, 2))) is None
    assert reward_figure(rollout(torch.zeros(4, 2), episode_returns=torch.zeros(0))) is None


@pytest.mark.parametrize(
    "actions", [torch.randint(0, 5, (8, 2)), torch.randn(8, 2, 3), torch.randint(0, 3, (8, 2, 40))]
)
def test_actions_of_every_kind(actions):
    assert action_figure(rollout(actions)).caption == "16 actions"


def test_in_a_run(quiet_trainer, memory_logger):
    callbacks = [ImageCallback(1, figures=True)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Agent(losses(*[0.0] * 8)))
    assert len(memory_logger.series("rollout/action_distribution")) == 2


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "puffer_callbacks\[plots\]"'):
        action_figure(rollout(torch.zeros(4, 2)))
