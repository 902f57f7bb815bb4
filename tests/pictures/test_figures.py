"""Figures of rewards and actions."""

import sys

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from puffer_callbacks import ImageCallback, Rollout
from puffer_callbacks.pictures.figures import action_figure, reward_figure
from tests.support.models import Agent, losses


def rollout(actions: torch.Tensor, **fields: object) -> Rollout:
    zeros = torch.zeros(actions.shape[:2])
    return Rollout(torch.zeros(*zeros.shape, 3), actions, zeros, zeros.bool(), **fields)  # type: ignore[arg-type]


@pytest.fixture
def drawn(monkeypatch):
    """The figures of matplotlib that are made."""
    figures = []

    class Kept(Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr("matplotlib.figure.Figure", Kept)
    return figures


def test_bars_are_means_and_lines_reach_from_a_tenth_to_nine_tenths(drawn):
    speed = torch.tensor([*range(11), torch.inf])
    reward_figure(rollout(torch.zeros(4, 2), infos={"speed": speed, "fuel": torch.tensor([-0.5, -0.25])}))
    (axis,) = drawn[0].axes
    assert [bar.get_width() for bar in axis.patches] == [5.0, -0.375]
    (lines,) = axis.collections
    assert np.allclose([line[:, 0] for line in lines.get_segments()], [[1.0, 9.0], [-0.475, -0.275]])
    assert [label.get_text() for label in axis.get_yticklabels()] == ["speed", "fuel"]
    assert axis.yaxis_inverted(), "the first at the top"


def test_without_components_the_return_is_drawn(drawn):
    reward_figure(rollout(torch.zeros(4, 2), episode_returns=torch.tensor([1.0, 4.0])))
    (axis,) = drawn[0].axes
    assert [bar.get_width() for bar in axis.patches] == [2.5]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["return"]


def test_a_discrete_action_has_its_share_and_each_dimension_a_panel(drawn):
    action_figure(rollout(torch.tensor([[0, 2], [2, 2]])))
    action_figure(rollout(torch.tensor([[[0, 5], [1, 5]]])))
    (one,), several = (figure.axes for figure in drawn)
    assert [(bar.get_center()[0], bar.get_height()) for bar in one.patches] == [(0.0, 0.25), (2.0, 0.75)]
    assert one.get_title() == "action" and one.get_ylabel() == "share of actions"
    assert [[bar.get_height() for bar in axis.patches] for axis in several] == [[0.5, 0.5], [1.0]]
    assert [axis.get_title() for axis in several] == ["action[0]", "action[1]"]
    action_figure(rollout(torch.arange(40).reshape(20, 2)))
    assert drawn[2].axes[0].get_xticks().tolist() == [*range(0, 40, 4)]


def test_a_continuous_action_has_a_histogram_of_its_finite_numbers(drawn):
    action_figure(rollout(torch.tensor([[0.0, 1.0], [1.0, torch.nan]])))
    (axis,) = drawn[0].axes
    heights = [bar.get_height() for bar in axis.patches]
    assert len(heights) == 40 and (heights[0], heights[-1], sum(heights)) == (1, 2, 3)
    assert axis.get_ylabel() == "actions"


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
