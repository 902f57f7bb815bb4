import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from puffer_callbacks import RolloutCallback, emit
from tests.support import ranks
from tests.support.models import Agent, Supervised, losses, random_rollout
from tests.support.warned import warned

TAGS = [
    "diagnostics/explained_variance",
    "rollout/episode_length_mean",
    "rollout/info/reward_forward",
    "rollout/info/success",
    "rollout/return_last_100",
    "rollout/return_max",
    "rollout/return_mean",
    "rollout/return_median",
    "rollout/return_min",
    "rollout/return_p10",
    "rollout/return_p90",
    "rollout/success_rate",
    "train/episode_length",
    "train/reward",
]


def fit(quiet_trainer, logger, make=random_rollout, *, batches=12, **arguments):
    module = Agent(losses(*[0.0] * batches), make=make)
    quiet_trainer(logger=logger, callbacks=[RolloutCallback()], **arguments).fit(module)
    return module


def test_every_tag_of_the_contract_at_the_rollout_s_env_steps(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger)
    assert [tag for tag in memory_logger.tags if not tag.startswith(("time", "logging", "throughput"))] == TAGS
    for tag in TAGS:
        assert [step for step, _ in memory_logger.series(tag)] == [16, 32, 48]


def test_each_rollout_speaks_for_itself(quiet_trainer, memory_logger):
    module = fit(quiet_trainer, memory_logger)
    for at, rollout in enumerate(module.rollouts):
        found = {tag: memory_logger.series(tag)[at][1] for tag in TAGS}
        returns = rollout.episode_returns.numpy()
        assert found["train/reward"] == found["rollout/return_mean"] == pytest.approx(returns.mean())
        assert found["rollout/return_p90"] == pytest.approx(np.quantile(returns, 0.9))
        assert found["train/episode_length"] == pytest.approx(rollout.episode_lengths.float().mean().item())
        assert found["rollout/info/reward_forward"] == pytest.approx(rollout.infos["reward_forward"].mean().item())
        assert found["rollout/success_rate"] == pytest.approx(rollout.infos["success"].mean().item())
        explained = 1 - (rollout.returns - rollout.values).var(correction=0) / rollout.returns.var(correction=0)
        assert found["diagnostics/explained_variance"] == pytest.approx(explained.item(), rel=1e-5)


def test_runs_are_compared_by_the_mean_return_of_the_last_hundred_episodes(quiet_trainer, memory_logger):
    draw = lambda at: torch.randn(40, generator=torch.Generator().manual_seed(at))  # noqa: E731
    make = lambda at, steps: random_rollout(at, steps, episode_returns=draw(at), episode_lengths=None, infos={})  # noqa: E731
    fit(quiet_trainer, memory_logger, make, batches=16)
    returns = np.concatenate([draw(at).numpy() for at in range(4)])
    expected = [(16 * (at + 1), pytest.approx(returns[: 40 * (at + 1)][-100:].mean(), rel=1e-5)) for at in range(4)]
    assert memory_logger.series("rollout/return_last_100") == expected


def test_throughput_is_environment_steps_per_second(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger)
    times = dict(memory_logger.series("time/elapsed"))
    for step, rate in memory_logger.series("throughput/sps")[1:]:
        assert rate == pytest.approx(16 / (times[step] - times[step - 16]), rel=1e-6)


def test_a_rollout_without_a_finished_episode_leaves_no_made_up_point(quiet_trainer, memory_logger):
    def make(at, env_steps):
        ended = at % 2 == 1
        episodes = {} if ended else {"episode_returns": torch.zeros(0), "episode_lengths": torch.zeros(0), "infos": {}}
        return random_rollout(at, env_steps, **episodes)

    fit(quiet_trainer, memory_logger, make, batches=16)
    assert [step for step, _ in memory_logger.series("train/reward")] == [32, 64]
    assert [step for step, _ in memory_logger.series("diagnostics/explained_variance")] == [16, 32, 48, 64]


def test_the_smallest_rollout_says_nothing_and_harms_nothing(quiet_trainer, memory_logger):
    def make(at, env_steps):
        none = dict.fromkeys(
            ("values", "returns", "advantages", "log_probs", "entropy", "episode_returns", "episode_lengths")
        )
        return random_rollout(at, env_steps, **none, infos={})

    fit(quiet_trainer, memory_logger, make)
    assert memory_logger.tags == []


def test_a_module_without_env_steps_gets_them_from_its_rollouts(quiet_trainer, memory_logger):
    class Silent(Agent):
        @property
        def env_steps(self):
            raise AttributeError("no env_steps here")

        @env_steps.setter
        def env_steps(self, value):
            self.total = value

        def training_step(self, batch, batch_idx):
            if self.step % self.updates == 0:
                self.total += 16
                emit(self, "on_rollout_end", random_rollout(0, self.total - 16))
            return Supervised.training_step(self, batch, batch_idx)

    quiet_trainer(logger=memory_logger, callbacks=[RolloutCallback()]).fit(Silent(losses(*[0.0] * 8)))
    assert [value for _, value in memory_logger.series("time/env_steps")] == [16.0, 32.0]


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"episode_returns": torch.tensor([1.0, float("nan"), 3.0, 4.0, 5.0])}, id="nan-return"),
        pytest.param({"episode_returns": torch.tensor([1, 2, 3, 4, 5], dtype=torch.bfloat16)}, id="bfloat16"),
        pytest.param({"infos": {"odd": torch.tensor([1 + 2j, 0j])}}, id="complex-info"),
        pytest.param({"infos": {"odd": torch.eye(3).to_sparse()}}, id="sparse-info"),
        pytest.param({"infos": {"odd": torch.zeros(2, device="meta")}}, id="meta-info"),
        pytest.param({"infos": {"odd": torch.tensor([float("nan"), float("inf")])}}, id="nonfinite-info"),
        pytest.param({"values": torch.full((8, 2), float("nan"))}, id="nan-values"),
        pytest.param({"returns": torch.full((8, 2), float("inf"))}, id="infinite-returns"),
    ],
)
def test_an_odd_field_loses_nothing_else(quiet_trainer, memory_logger, odd):
    with warned() as said:
        module = fit(quiet_trainer, memory_logger, lambda at, env_steps: random_rollout(at, env_steps, **odd))
    assert module.step == 12
    assert len(said) <= 1
    assert all("odd" in warning for warning in said)
    for tag in ("train/reward", "train/episode_length", "rollout/return_max"):
        assert len(memory_logger.series(tag)) == 3


def test_nonfinite_returns_and_infos_are_counted_not_dropped(quiet_trainer, memory_logger):
    nan, inf = float("nan"), float("inf")

    def make(at, env_steps):
        infos = {"energy": torch.tensor([2.0, nan, inf])}
        return random_rollout(at, env_steps, episode_returns=torch.tensor([1.0, nan, 3.0, inf, 5.0]), infos=infos)

    fit(quiet_trainer, memory_logger, make)
    assert memory_logger.series("train/reward") == [(16, 3.0), (32, 3.0), (48, 3.0)]
    assert memory_logger.series("nonfinite/rollout/return") == [(16, 2.0), (32, 4.0), (48, 6.0)]
    assert memory_logger.series("rollout/info/energy") == [(16, 2.0), (32, 2.0), (48, 2.0)]
    assert memory_logger.series("nonfinite/rollout/info/energy") == [(16, 2.0), (32, 4.0), (48, 6.0)]


def test_statistics_are_those_of_all_ranks_episodes_together(tmp_path):
    results = tmp_path / "results.json"
    subprocess.run([sys.executable, ranks.__file__, results], check=True, timeout=300, capture_output=True)
    series = json.loads(results.read_text())
    steps = [step for step, _ in series["rollout/return_max"]]
    assert steps == sorted(set(steps))
    ends = [batch for batch in range(ranks.BATCHES) if any(batch % every == 0 for every in ranks.UPDATES)]
    assert len(steps) == len(ends)  # each is a point of its own
    episodes = np.zeros(0)
    for at, batch in enumerate(ends):
        met = [ranks.rollout(rank, batch // every, 0) for rank, every in enumerate(ranks.UPDATES) if batch % every == 0]
        returns = torch.cat([rollout.episode_returns for rollout in met]).numpy()
        targets = torch.cat([rollout.returns for rollout in met]).numpy().astype(np.float64)
        errors = targets - torch.cat([rollout.values for rollout in met]).numpy()
        found = {tag: points[at][1] for tag, points in series.items() if tag.startswith(("rollout", "diagnostics"))}
        assert found["rollout/return_mean"] == pytest.approx(returns.mean(), rel=1e-6)
        assert found["rollout/return_p10"] == pytest.approx(np.quantile(returns, 0.1), rel=1e-6)
        episodes = np.concatenate([episodes, returns])
        assert found["rollout/return_last_100"] == pytest.approx(episodes[-100:].mean(), rel=1e-6)
        assert found["rollout/info/reward_forward"] == pytest.approx(
            torch.cat([rollout.infos["reward_forward"] for rollout in met]).mean().item(), rel=1e-5
        )
        assert found["diagnostics/explained_variance"] == pytest.approx(1 - errors.var() / targets.var(), rel=1e-6)
