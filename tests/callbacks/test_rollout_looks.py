"""Which training steps of an update are followed, and what a resume continues."""

import torch
from torch import nn

from puffer_callbacks import Every, Rollout
from puffer_callbacks.callbacks.rollout_looks import RolloutLooks

ADVANTAGES = Rollout(advantages=torch.ones(4, 2), rewards=torch.ones(4, 2))
REWARDS = Rollout(rewards=torch.tensor([[0.0], [2.0]]))


def test_the_first_steps_of_an_update_are_followed():
    looks, followed = RolloutLooks(Every(1)), 0
    looks.add_rollout(ADVANTAGES, nn.Identity())
    while looks.is_following and followed < 1000:
        followed += 1
        looks.add_step({}, None, updates=followed)
    assert followed == 256
    looks.add_rollout(ADVANTAGES, nn.Identity())
    assert looks.is_following  # the next update from its beginning


def test_without_advantages_no_step_is_followed():
    looks = RolloutLooks(Every(1))
    looks.add_rollout(REWARDS, nn.Identity())
    assert not looks.is_following
    looks.add_step({}, None, updates=1)
    assert not looks.is_following


def test_a_resumed_run_looks_where_the_whole_run_looks():
    """Of every second rollout numbers 1, 2, 3, 4, 6, 8, … are looked at; verdicts come at looks six, eight, …."""

    def after(rollouts, state=None):
        looks = RolloutLooks(Every(2))
        if state is not None:
            looks.load_state_dict(state)
        looked = []
        for _ in rollouts:
            tags = looks.add_rollout(REWARDS, nn.Identity())
            looked += [(looks.rollouts, looks.verdict_is_due)] if "diagnostics/nonzero_reward_fraction" in tags else []
        return looked, looks.state_dict()

    whole, _ = after(range(34))
    assert whole == [(2, False), (4, False), (6, False), (8, False), (12, False), (16, True), (24, False), (32, True)]
    for at in (1, 2, 5, 11, 12, 17):
        before, state = after(range(at))
        rest, _ = after(range(34 - at), state)
        assert before + rest == whole, at
