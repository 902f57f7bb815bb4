"""What is known of a run's actions before it is judged."""

import math

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from torch import nn

from puffer_callbacks import HealthCallback, MemoryLogger, Rollout
from puffer_callbacks.adapters import Loop
from puffer_callbacks.callbacks.run_facts import with_action_space
from puffer_callbacks.health import Facts
from tests.support.models import Supervised, losses


@pytest.mark.parametrize(
    ("high", "entropy"), [([2.0], math.log(4)), ([0.4, 1.0], 2 * math.log(2)), ([1.0, math.inf], None)]
)
def test_the_largest_entropy_of_actions_within_bounds(high: list[float], entropy: float | None) -> None:
    """Of narrow ones it is that of [-1, 1], in which some take log-probabilities before they scale actions."""
    space = Box(-np.array(high, np.float32), np.array(high, np.float32))
    facts = with_action_space(Facts(), Rollout(action_space=space))
    assert facts.max_action_entropy == (None if entropy is None else pytest.approx(entropy, rel=1e-6))


def test_a_loop_of_episodes_has_the_bounds_of_an_actor_that_scales_by_them() -> None:
    """As CleanRL's; a log of the run has them too."""
    actor, logger = nn.Linear(3, 1), MemoryLogger()
    actor.register_buffer("action_scale", torch.tensor([2.0]))
    with Loop(logger, HealthCallback()) as loop:
        loop.fit_start({"actor": actor})
        loop.episodes(1.0, 10)
    ((step, entropy),) = logger.series("diagnostics/max_action_entropy")
    assert entropy == pytest.approx(math.log(4))
    read = Facts().completed({"diagnostics/max_action_entropy": (np.array([step]), np.array([entropy]))})
    assert read.max_action_entropy == pytest.approx(math.log(4))


def test_a_scale_without_dimensions_is_no_bound_of_all_actions() -> None:
    """As of ``max_action``, one number for however many dimensions."""
    actor, logger = nn.Linear(3, 6), MemoryLogger()
    actor.register_buffer("action_scale", torch.tensor(2.0))
    with Loop(logger, HealthCallback()) as loop:
        loop.fit_start({"actor": actor})
        loop.episodes(1.0, 10)
    assert "diagnostics/max_action_entropy" not in logger.tags


@pytest.mark.parametrize(
    ("settings", "limit"), [({"env_id": "CartPole-v1"}, 500), ({"env": "Mine-v0"}, None), ({}, None)]
)
def test_what_a_module_and_its_configuration_have(quiet_trainer, settings, limit) -> None:
    health, module = HealthCallback(), Supervised(losses(1.0))
    module.save_hyperparameters(settings)
    module.drops = nn.Dropout2d(0.5)
    quiet_trainer(callbacks=[health]).fit(module)
    facts = health._monitor.facts
    assert (facts.has_dropout, facts.has_embedding, facts.max_episode_steps) == (True, None, limit)
