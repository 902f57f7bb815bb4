"""The policy in a module that need not be callable, found by the log-probabilities that it gives."""

import pickle

import pytest
import torch
from torch import nn
from torch.nn.parameter import is_lazy

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
    assert not any(part._forward_hooks for part in agent.modules())


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


def test_a_tensor_of_logits_and_value_is_no_policy() -> None:
    class Both(Agent):
        def forward(self, observations: torch.Tensor) -> torch.Tensor:
            return torch.cat([self.actor(observations), self.critic(observations)], dim=-1)

    agent = Both()
    assert PolicyFinder().find(agent, sample(agent)) is agent.actor


def test_a_log_probability_that_is_not_finite_finds_no_policy() -> None:
    agent, finder = Agent(), PolicyFinder()
    steps = sample(agent)
    steps.log_probs[3] = torch.nan
    assert finder.find(agent, steps) is None


@pytest.mark.parametrize("action", [-1.0, 0.5, 3.0])
def test_an_action_without_a_logit_is_not_looked_up(action: float) -> None:
    """On a GPU the lookup would end the process: real actions and hidden layers come here too."""
    with pytest.raises(IndexError, match="expected whole numbers from 0 to 2"):
        taken(torch.randn(2, 3), torch.tensor([0.0, action]))


def test_layers_that_give_no_tensor_are_passed_over() -> None:
    class WithMask(nn.Linear):
        def forward(self, input: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
            return super().forward(input), None

    agent = Agent()
    parts = nn.ModuleDict({"encoder": WithMask(4, 3), "actor": agent.actor})
    assert PolicyFinder().find(parts, sample(agent)) is agent.actor


def test_lazy_layers_keep_waiting_for_an_input_of_their_own() -> None:
    agent = Agent()
    agent.world_model = nn.Sequential(nn.LazyLinear(3))
    PolicyFinder().find(agent, sample(agent, softmaxes=2))
    assert is_lazy(agent.world_model[0].weight)


def test_the_search_ends() -> None:
    """Real actions have no softmax to find."""

    class Gaussian(nn.Linear):
        calls = 0

        def forward(self, input: torch.Tensor) -> tuple[torch.distributions.Normal, None]:  # type: ignore[override]
            self.calls += 1
            return torch.distributions.Normal(super().forward(input), 1.0), None

    agent, finder, actions = Gaussian(4, 1), PolicyFinder(), torch.randn(32, 1)
    for _ in range(20):
        assert finder.find(agent, PolicySample(torch.randn(32, 4), actions, torch.randn(32), torch.randn(32))) is agent
    assert agent.calls == 8


def test_the_module_is_not_kept() -> None:
    """A callback is pickled, and lives longer than a run."""
    agent, finder = Agent(), PolicyFinder()
    finder.find(agent, sample(agent))
    agent.activation = lambda x: x
    assert pickle.loads(pickle.dumps(finder)).found_in(agent) is agent.actor


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
