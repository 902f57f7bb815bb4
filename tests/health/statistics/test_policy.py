"""The policy in a module that need not be callable, found by the log-probabilities that it gives."""

import pytest
import torch
from torch import nn

from puffer_callbacks import Rollout
from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.health.statistics.log_probs import PolicySample, taken
from puffer_callbacks.health.statistics.policy import PolicyFinder


class Agent(nn.Module):
    """As CleanRL's: an actor, a critic, and no ``forward``."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.actor = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


def sample(agent: Agent, *, softmaxes: int = 1) -> PolicySample:
    observations, actions = torch.randn(32, 4), torch.arange(32) % 3
    with torch.no_grad():
        logits = agent.actor(observations)
        log_probs = taken(logits.softmax(-1) if softmaxes == 2 else logits, actions)
    return PolicySample(observations, actions, log_probs, torch.randn(32))


def test_the_part_that_gives_the_log_probabilities_is_the_policy() -> None:
    agent, finder = Agent(), PolicyFinder()
    assert finder.find(agent, sample(agent)) is agent.actor
    assert finder.softmaxes == 1


def test_two_softmaxes_show_at_the_first_rollout() -> None:
    agent, finder = Agent(), PolicyFinder()
    assert finder.find(agent, sample(agent, softmaxes=2)) is None
    assert finder.softmaxes == 2


def test_log_probabilities_of_something_else_have_no_policy() -> None:
    agent, finder = Agent(), PolicyFinder()
    other = sample(agent)
    assert (
        finder.find(agent, PolicySample(other.observations, other.actions, other.log_probs - 0.1, other.advantages))
        is None
    )
    assert finder.softmaxes is None


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_update_of_such_an_agent_is_held_against_its_advantages(sign: float) -> None:
    agent, collector = Agent(), Collector()
    steps = sample(agent)
    fields = (steps.observations, steps.actions, steps.log_probs, steps.advantages)
    observations, actions, log_probs, advantages = (field.unsqueeze(1) for field in fields)
    rollout = Rollout(observations=observations, actions=actions, log_probs=log_probs, advantages=advantages)
    assert collector.add_rollout(rollout, module=agent)["diagnostics/log_prob_error"] == pytest.approx(0, abs=1e-6)
    optimizer = torch.optim.SGD(agent.parameters(), lr=0.1)
    (-sign * (taken(agent.actor(steps.observations), steps.actions) * steps.advantages).mean()).backward()
    optimizer.step()
    assert collector.finish_update(module=agent)["diagnostics/advantage_alignment"] * sign > 0.1
