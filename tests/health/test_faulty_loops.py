"""Bugs of DQN in a hand-written loop on CartPole: each is named with its cause, and a sound loop is not."""

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from puffer_callbacks import HealthCallback, default_callbacks
from puffer_callbacks.adapters import Loop
from puffer_callbacks.health.causes import CAUSES

BATCH, STEPS, GAMMA = 32, 400, 0.99
NAMED = {
    "no mask": ("td_targets", "bootstrap_mask_missing"),
    "mask inverted": ("td_targets", "done_mask_inverted"),
    "max over the batch": ("td_targets", "value_index_wrong"),
    "gather over the batch": ("outputs_untrained", "value_index_wrong"),
    "loss broadcast": ("value_loss_broadcast", "value_loss_broadcast"),
    "target copied at each step": ("target_copied", "target_copied"),
}
Transitions = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


def transitions(loop: Loop):
    """Steps of a random policy, one by one: batches of those so far, once there are enough."""
    env, memory, length = gymnasium.make("CartPole-v1"), [], 0
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    for _ in range(STEPS):
        action, length = int(env.action_space.sample()), length + 1
        following, reward, terminated, truncated, _ = env.step(action)
        memory.append((observation, action, reward, terminated, following))
        observation = following
        if terminated or truncated:
            loop.episodes(float(length), length)
            observation, length = env.reset()[0], 0
        if len(memory) >= BATCH:
            columns = zip(*(memory[int(at)] for at in torch.randint(len(memory), (BATCH,))), strict=True)
            yield tuple(torch.from_numpy(np.array(column, np.float32)) for column in columns)


def update(q: nn.Module, target: nn.Module, data: Transitions, bug: str | None) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and what the loop hands over of the batch."""
    seen, actions, rewards, terminated, then = data
    with torch.no_grad():
        mask = {"no mask": torch.ones(BATCH), "mask inverted": terminated}.get(str(bug), 1 - terminated)
        best = target(then).max() if bug == "max over the batch" else target(then).max(dim=1).values
        returns = rewards + GAMMA * mask * best
    values = q(seen).gather(0 if bug == "gather over the batch" else 1, actions.long().unsqueeze(1))
    pair = (values, returns) if bug == "loss broadcast" else (values.squeeze(1), returns)
    batch = {"values": values.detach(), "returns": returns, "rewards": rewards, "terminated": terminated}
    return mse_loss(*torch.broadcast_tensors(*pair)), batch


def dqn(bug: str | None = None, *, tau: float = 1.0, every: int = 50, shows_batch: bool = True) -> HealthCallback:
    """Trains, and returns the callback with its findings."""
    torch.manual_seed(1)
    q, target = (nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2)) for _ in range(2))
    optimizer, health = torch.optim.Adam(q.parameters(), lr=1e-3), HealthCallback()
    with Loop(None, default_callbacks(health=health, histograms=False, gradients=False)) as loop:
        loop.fit_start({"q_network": q, "target_network": target}, {"gamma": GAMMA})
        for step, data in enumerate(transitions(loop)):
            loss, batch = update(q, target, data, bug)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loop.step({"td_loss": loss.detach()}, batch=batch if shows_batch else None)
            if step % every == 0:
                with torch.no_grad():
                    torch._foreach_lerp_(list(target.parameters()), list(q.parameters()), tau)
    return health


@pytest.mark.parametrize("bug", NAMED)
def test_a_bug_of_dqn_is_named_first_with_its_cause(bug: str) -> None:
    first = dqn(bug, every=1 if bug == "target copied at each step" else 50).findings[0]
    rule, cause = NAMED[bug]
    assert (first.rule, first.causes[0]) == (rule, CAUSES[cause].text)


@pytest.mark.parametrize("settings", [{}, {"every": 2}, {"tau": 0.01, "every": 1}], ids=str)
def test_a_sound_dqn_is_not(settings: dict[str, float]) -> None:
    health = dqn(**settings)
    rules = {rule for rule, _ in NAMED.values()}
    assert rules - {"value_loss_broadcast"} <= set(health.diagnosis.judged)
    assert not {finding.rule for finding in health.findings} & rules


@pytest.mark.parametrize("bug", ["gather over the batch", "target copied at each step"])
def test_some_bugs_show_in_the_weights_alone(bug: str) -> None:
    health = dqn(bug, every=1 if bug == "target copied at each step" else 50, shows_batch=False)
    assert health.findings[0].rule == NAMED[bug][0]
