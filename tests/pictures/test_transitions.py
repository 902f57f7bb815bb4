import numpy as np
import torch

from puffer_callbacks import Rollout
from puffer_callbacks.pictures.observations import observation_image
from puffer_callbacks.pictures.transitions import Transitions


def test_transitions_of_a_rollout_are_those_of_its_first_environments():
    rollout = Rollout(
        actions=torch.arange(6).reshape(3, 2),
        rewards=torch.ones(3, 2),
        dones=torch.tensor([[0, 0], [0, 1], [0, 0]]) == 1,
        values=torch.full((3, 2), 0.5),
    )
    found = Transitions.of(rollout, num_envs=1)
    assert found.actions[""].tolist() == [[0], [2], [4]] and found.rewards.shape == (3, 1)
    assert Transitions.of(rollout).describe(1, 1) == ["step 1, done", "action 3", "value 0.5, reward 1"]
    assert list(Transitions.of(rollout).outcome_rows()) == ["value", "reward", "done"]


def test_missing_fields_are_left_out():
    empty = Transitions.of(Rollout())
    assert empty.describe(2, 0) == ["step 2"]
    assert (empty.action_rows(), empty.outcome_rows()) == ({}, {})
    for leaf in (np.zeros((4, 2, 3)), np.zeros((4, 2, 9, 9)), np.full((4, 2), "text")):
        assert observation_image(leaf, empty).caption.endswith("env 0: step 3; env 1: step 3")
