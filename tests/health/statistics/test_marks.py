"""Fresh rollouts that resemble earlier ones, and the same one again."""

import dataclasses

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.rollout import Rollout

T, N, CUES = 16, 8, 4


def _cues(seed: int) -> Tensor:
    """[T, N, 4]: every cue as often as any other, one-hot, in an order of their own."""
    order = torch.randperm(T * N, generator=torch.Generator().manual_seed(seed))
    return one_hot(torch.arange(T * N)[order] % CUES, CUES).float().reshape(T, N, CUES)


def _repeats(*rollouts: Rollout) -> list[float]:
    collector = Collector()
    return [collector.add_rollout(rollout)["diagnostics/repeated_rollout"] for rollout in rollouts]


def test_one_hot_observations_in_another_order_are_fresh() -> None:
    """As a bandit's: their sum and spread are always the same."""
    values = torch.rand(T, N)
    assert _repeats(*(Rollout(observations=_cues(seed), values=values) for seed in range(8))) == [0.0] * 8


def test_the_same_path_with_new_log_probabilities_or_values_is_fresh() -> None:
    """As the rollouts of a solved deterministic environment, between which there was an update."""
    solved = Rollout(_cues(0), torch.ones(T, N), log_probs=torch.full((T, N), -1e-3))
    by_values = [dataclasses.replace(solved, values=torch.rand(T, N) + at) for at in range(4)]
    by_log_probs = [dataclasses.replace(solved, log_probs=-torch.rand(T, N) / 10**at) for at in range(4)]
    assert _repeats(*by_values) == _repeats(*by_log_probs) == [0.0] * 4


def test_the_same_rollout_again_is_repeated() -> None:
    first, second = (Rollout(_cues(seed), values=torch.rand(T, N), log_probs=-torch.rand(T, N)) for seed in (0, 1))
    assert _repeats(first, second, first, second, first) == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_a_path_alone_tells_nothing() -> None:
    """A greedy policy in a deterministic environment takes it again and again."""
    path = Rollout(_cues(0), torch.ones(T, N))
    constant = dataclasses.replace(path, log_probs=torch.zeros(T, N))
    unknown = dataclasses.replace(path, values=torch.full((T, N), torch.nan))
    assert _repeats(path, path) == _repeats(constant, constant) == _repeats(unknown, unknown) == [0.0, 0.0]


def test_a_checkpoint_keeps_the_rollouts_before_it() -> None:
    rollout, collector, resumed = Rollout(_cues(0), values=torch.rand(T, N)), Collector(), Collector()
    collector.add_rollout(rollout)
    resumed.load_state_dict(collector.state_dict())
    assert resumed.add_rollout(rollout)["diagnostics/repeated_rollout"] == 1.0
