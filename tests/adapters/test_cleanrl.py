"""DQN and SAC in the structure of CleanRL, which is no package; its PPO is in ``test_loop``."""

import pytest
import torch

from puffer_callbacks import Recorder, default_callbacks
from puffer_callbacks.adapters import Loop
from tests.adapters.cleanrl_off_policy import train_dqn, train_sac


def recorded(logger):
    options = {"metrics": 10, "histograms": 10, "gradients": 10}
    return Loop(logger, [Recorder(overhead_budget=1.0), *default_callbacks(**options)])


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "train, tag, every",
    [(train_dqn, "train/loss", 2), (train_sac, "train/value_loss", 1)],
    ids=["DQN", "SAC"],
)
def test_an_off_policy_algorithm_trains_the_same_and_its_loss_is_the_exact_mean(memory_logger, train, tag, every):
    truth, losses = [], []
    assert same(train(None, truth), train(recorded(memory_logger), losses))
    assert losses == truth
    means = [sum(losses[at : at + 10]) / 10 for at in range(0, len(losses), 10)]
    series = memory_logger.series(tag)
    if every == 2:  # DQN: one optimizer, so that intervals are ten updates
        assert series == [(40 + 2 * at, pytest.approx(mean)) for at, mean in zip(range(10, 81, 10), means, strict=True)]
    assert sum(value for _, value in series) / len(series) == pytest.approx(sum(losses) / len(losses))
    assert {"train/reward", "rollout/actions", "rollout/values", "gradient_norm/total"} <= set(memory_logger.tags)
    assert any(tag.startswith("weights/log_alpha") for tag in memory_logger.tags) == (train is train_sac)
