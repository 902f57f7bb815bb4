import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from puffer_callbacks.measure.rollout_statistics import RolloutStatistics, info_statistics, info_sums, pool
from puffer_callbacks.rollout import Rollout
from tests.support.models import random_rollout

QUANTILES = {"min": 0, "p10": 0.1, "median": 0.5, "p90": 0.9, "max": 1}


def computed(*rollouts):
    return pool([RolloutStatistics.of(rollout) for rollout in rollouts])


def test_returns_and_lengths_agree_with_numpy():
    rollouts = [random_rollout(at, 0) for at in range(3)]
    returns = np.concatenate([rollout.episode_returns.numpy() for rollout in rollouts]).astype(np.float64)
    lengths = np.concatenate([rollout.episode_lengths.numpy() for rollout in rollouts])
    found = computed(*rollouts)
    for name, q in QUANTILES.items():
        assert found[f"rollout/return_{name}"] == pytest.approx(np.quantile(returns, q))
    assert found["train/reward"] == found["rollout/return_mean"] == pytest.approx(returns.mean())
    assert found["train/episode_length"] == found["rollout/episode_length_mean"] == pytest.approx(lengths.mean())


@given(st.integers(1, 5), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_explained_variance_of_parts_is_that_of_the_whole(parts, mean, scale):
    rollouts = []
    for at in range(parts):
        drawn = random_rollout(at, 0)
        shifted = {name: getattr(drawn, name).double() * scale + mean for name in ("returns", "values")}
        rollouts.append(random_rollout(at, 0, **shifted))
    returns = torch.cat([rollout.returns for rollout in rollouts]).numpy()
    values = torch.cat([rollout.values for rollout in rollouts]).numpy()
    expected = 1 - np.var(returns - values) / np.var(returns)
    assert computed(*rollouts)["diagnostics/explained_variance"] == pytest.approx(expected, rel=1e-6)


def explained_variance(values, returns):
    fields = {"values": values.view(-1, 1), "returns": returns.view(-1, 1)}
    return computed(Rollout(**fields)).get("diagnostics/explained_variance")


def test_explained_variance_of_a_perfect_and_a_constant_critic_and_of_constant_returns():
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.full((3,), 7.0), returns) == 0.0
    assert explained_variance(-returns, returns) == pytest.approx(-3.0)
    assert explained_variance(returns, torch.ones(3)) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_targets_that_differ_by_rounding_alone_have_no_variance_to_explain(dtype):
    values = torch.randn(1000, dtype=dtype)
    for target in (0.1, 0.3, 1.0, -7.7):
        assert explained_variance(values, torch.full_like(values, target)) is None
        assert explained_variance(values, (target - values) + values) is None, "advantages + values"


def test_explained_variance_is_exact_with_a_large_mean():
    returns = torch.tensor([1e6, 1e6 + 1, 1e6 + 2])
    assert explained_variance(returns + 0.5, returns) == pytest.approx(1.0)


def test_without_a_finished_episode_there_are_no_statistics():
    none = random_rollout(0, 0, episode_returns=torch.zeros(0), episode_lengths=None, values=None, infos={})
    assert computed(none) == {}
    constant = random_rollout(0, 0, episode_returns=None, episode_lengths=None, returns=torch.ones(8, 2), infos={})
    assert computed(constant) == {}


def test_integer_returns_are_accepted():
    found = computed(random_rollout(0, 0, episode_returns=torch.tensor([1, 2, 4, 4, 4])))
    assert found["train/reward"] == 3.0


def test_infos_are_means_and_success_is_a_rate():
    sums = info_sums({"is_success": torch.tensor([True, False, True, True]), "energy": torch.tensor([[1.0], [2.0]])})
    assert info_statistics(sums) == {
        "rollout/info/is_success": 0.75,
        "rollout/info/energy": 1.5,
        "rollout/success_rate": 0.75,
    }


def test_an_empty_info_gives_no_statistic():
    assert info_statistics(info_sums({"energy": torch.zeros(0)})) == {}
