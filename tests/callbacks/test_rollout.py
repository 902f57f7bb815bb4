import json
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback

from puffer_callbacks import (
    GradientCallback,
    HistogramCallback,
    ImageCallback,
    MemoryLogger,
    MetricsCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    emit,
)
from puffer_callbacks.axes import Axes
from puffer_callbacks.measure.rollout_statistics import RolloutStatistics
from puffer_callbacks.overhead import budget
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


def test_each_rollout_has_statistics_of_its_own(quiet_trainer, memory_logger):
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
    times, rates = (dict(memory_logger.series(tag)) for tag in ("time/elapsed", "throughput/sps"))
    for step in (32, 48):
        assert rates[step] == pytest.approx(16 / (times[step] - times[step - 16]), rel=1e-6)


def test_a_rollout_without_a_finished_episode_makes_no_point(quiet_trainer, memory_logger):
    def make(at, env_steps):
        ended = at % 2 == 1
        episodes = {} if ended else {"episode_returns": torch.zeros(0), "episode_lengths": torch.zeros(0), "infos": {}}
        return random_rollout(at, env_steps, **episodes)

    fit(quiet_trainer, memory_logger, make, batches=16)
    assert [step for step, _ in memory_logger.series("train/reward")] == [32, 64]
    assert [step for step, _ in memory_logger.series("diagnostics/explained_variance")] == [16, 32, 48, 64]


def test_the_smallest_rollout_logs_nothing(quiet_trainer, memory_logger):
    def make(at, env_steps):
        none = dict.fromkeys(
            ("values", "returns", "advantages", "log_probs", "entropy", "episode_returns", "episode_lengths")
        )
        return random_rollout(at, env_steps, **none, infos={})

    fit(quiet_trainer, memory_logger, make)
    assert memory_logger.tags == []


def test_a_module_without_env_steps_gets_them_from_its_rollouts(quiet_trainer, memory_logger):
    class WithoutEnvSteps(Agent):
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

    quiet_trainer(logger=memory_logger, callbacks=[RolloutCallback()]).fit(WithoutEnvSteps(losses(*[0.0] * 8)))
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
    with warned() as reported:
        module = fit(quiet_trainer, memory_logger, lambda at, env_steps: random_rollout(at, env_steps, **odd))
    assert module.step == 12
    assert len(reported) <= 1
    assert all("odd" in warning for warning in reported)
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


def counted_by_hand(rewards, dones):
    """Returns and lengths of the finished episodes of [T, N] steps, environment by environment."""
    episodes = []
    for env in range(rewards.shape[1]):
        total, length = 0.0, 0
        for step in range(len(rewards)):
            total, length = total + rewards[step, env], length + 1
            if dones[step, env]:
                episodes.append((step, total, length))
                total, length = 0.0, 0
    return episodes


STEPS, ENVS, ROLLOUTS = 8, 3, 6
GENERATOR = np.random.default_rng(0)
REWARDS = GENERATOR.normal(size=(ROLLOUTS * STEPS, ENVS))
DONES = GENERATOR.random((ROLLOUTS * STEPS, ENVS)) < 0.15
EPISODES = [
    [(total, length) for step, total, length in counted_by_hand(REWARDS, DONES) if step // STEPS == at]
    for at in range(ROLLOUTS)
]
"""Those that end in each rollout; most begin in an earlier one."""


def slice_of(at, env_steps):
    steps = slice(at * STEPS, (at + 1) * STEPS)
    rewards, dones = torch.from_numpy(REWARDS[steps]), torch.from_numpy(DONES[steps])
    return Rollout(rewards=rewards, dones=dones, env_steps=env_steps + STEPS * ENVS)


def expected_of(rollouts):
    points = [((at + 1) * STEPS * ENVS, EPISODES[at]) for at in rollouts if EPISODES[at]]
    rewards = [(x, pytest.approx(np.mean([total for total, _ in ended]))) for x, ended in points]
    lengths = [(x, pytest.approx(np.mean([length for _, length in ended]))) for x, ended in points]
    return rewards, lengths


def test_episodes_are_counted_from_rewards_and_dones_across_rollouts(quiet_trainer, memory_logger):
    fit(quiet_trainer, memory_logger, slice_of, batches=4 * ROLLOUTS)
    rewards, lengths = expected_of(range(ROLLOUTS))
    assert len(rewards) >= 5
    assert memory_logger.series("train/reward") == memory_logger.series("rollout/return_mean") == rewards
    assert memory_logger.series("train/episode_length") == lengths


def test_unfinished_episodes_continue_after_a_checkpoint(quiet_trainer, memory_logger, tmp_path):
    class Continues(Agent):
        """Two epochs of three rollouts."""

        def __init__(self, start=0):
            super().__init__(losses(*[0.0] * 24), make=lambda at, env_steps: slice_of(at + start, env_steps))
            self.env_steps = start * STEPS * ENVS

        def train_dataloader(self):
            return range(12)

    trainer = quiet_trainer(callbacks=[RolloutCallback()])
    trainer.fit(Continues())
    trainer.save_checkpoint(tmp_path / "three.ckpt")
    resumed = quiet_trainer(logger=memory_logger, callbacks=[RolloutCallback()], max_epochs=2)
    resumed.fit(Continues(3), ckpt_path=tmp_path / "three.ckpt", weights_only=False)
    rewards, lengths = expected_of(range(3, ROLLOUTS))
    assert memory_logger.series("train/reward") == rewards
    assert memory_logger.series("train/episode_length") == lengths


def test_another_run_continues_no_episode_of_the_one_before(quiet_trainer):
    callback, found = RolloutCallback(), []
    for _ in range(2):
        logger = MemoryLogger()
        quiet_trainer(logger=logger, callbacks=[callback]).fit(Agent(losses(*[0.0] * 12), make=slice_of))
        found.append(logger.series("train/reward"))
    assert found[0] == found[1] == expected_of(range(3))[0]


@pytest.mark.parametrize("x_axis", ["env_steps", "optimizer_steps"])
def test_rollouts_at_one_point_are_one_row_over_all_their_episodes(quiet_trainer, memory_logger, x_axis):
    class Workers(Supervised):
        """Three rollouts between two updates, with one, two and three episodes."""

        def training_step(self, batch, batch_idx):
            for worker in range(3):
                returns = torch.full((worker + 1,), 10.0 * worker + batch_idx)
                rollout = Rollout(episode_returns=returns, env_steps=24 * (batch_idx + 1))
                emit(self, "on_rollout_end", rollout)
            return super().training_step(batch, batch_idx)

    callbacks = [Recorder(x_axis), RolloutCallback()]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Workers(losses(0.0, 0.0, 0.0)))
    points = [24, 48, 72] if x_axis == "env_steps" else [0, 1, 2]
    mean = (0 * 1 + 10 * 2 + 20 * 3) / 6
    assert memory_logger.series("train/reward") == [(x, pytest.approx(mean + at)) for at, x in enumerate(points)]
    assert memory_logger.series("rollout/return_min") == [(x, float(at)) for at, x in enumerate(points)]
    assert memory_logger.series("rollout/return_max") == [(x, 20.0 + at) for at, x in enumerate(points)]


class Widened(RolloutCallback):
    """Logs at every so-many-th rollout, as where the budget widened the interval."""

    def __init__(self, interval):
        super().__init__()
        self.interval = interval

    def on_train_start(self, trainer, pl_module):
        self._every.multiplier = self.interval


class Slices(Agent):
    """A rollout in every fourth batch, from the given one on, and as many in each epoch."""

    def __init__(self, rollouts, start=0):
        super().__init__(losses(*[0.0] * 4 * ROLLOUTS), make=lambda at, env_steps: slice_of(at + start, env_steps))
        self.rollouts_an_epoch, self.env_steps = rollouts, start * STEPS * ENVS

    def train_dataloader(self):
        return range(4 * self.rollouts_an_epoch)


def means_of(*groups):
    """The mean return over the episodes of each group of rollouts, at the group's last one."""
    ended = [[total for at in rollouts for total, _ in EPISODES[at]] for rollouts in groups]
    return [
        ((rollouts[-1] + 1) * STEPS * ENVS, pytest.approx(np.mean(totals)))
        for rollouts, totals in zip(groups, ended, strict=True)
    ]


def test_above_the_budget_several_rollouts_are_one_row_over_all_their_episodes(quiet_trainer, memory_logger):
    quiet_trainer(logger=memory_logger, callbacks=[Widened(4)]).fit(Slices(ROLLOUTS))
    assert memory_logger.series("train/reward") == means_of([0], range(1, 4), range(4, ROLLOUTS))
    assert memory_logger.series("rollout/return_last_100")[-1] == means_of(range(ROLLOUTS))[0]


def test_what_waits_for_a_row_is_logged_where_a_run_fails(quiet_trainer, memory_logger):
    class Fails(Slices):
        def training_step(self, batch, batch_idx):
            if batch_idx == 10:
                raise RuntimeError("it fails")
            return super().training_step(batch, batch_idx)

    with pytest.raises(RuntimeError, match="it fails"):
        quiet_trainer(logger=memory_logger, callbacks=[Widened(4)]).fit(Fails(ROLLOUTS))
    assert memory_logger.series("train/reward") == means_of([0], range(1, 3))


def test_what_waits_for_a_row_is_in_a_checkpoint(quiet_trainer, memory_logger, tmp_path):
    class Saves(Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            trainer.save_checkpoint(tmp_path / "three.ckpt")

    quiet_trainer(callbacks=[Widened(4), Saves()]).fit(Slices(3))
    resumed = quiet_trainer(logger=memory_logger, callbacks=[Widened(1)], max_epochs=2)
    resumed.fit(Slices(3, start=3), ckpt_path=tmp_path / "three.ckpt", weights_only=False)
    assert memory_logger.series("train/reward") == means_of(range(1, 4), [4], [5])


def test_rollouts_that_cost_more_than_the_budget_are_logged_less_often(quiet_trainer, memory_logger, monkeypatch):
    monkeypatch.setattr(budget, "WINDOW_SECONDS", 0.0)
    callbacks = [RolloutCallback(), Recorder(overhead_budget=1e-9)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Slices(ROLLOUTS))
    assert memory_logger.series("logging/every_n_rollouts/RolloutCallback")[0] == (1 * STEPS * ENVS, 2.0)
    assert len(memory_logger.series("rollout/return_mean")) < ROLLOUTS
    assert memory_logger.series("rollout/return_last_100")[-1] == means_of(range(ROLLOUTS))[0]


FIELDS = [name for name in Rollout.__dataclass_fields__ if name not in ("infos", "env_steps")]


@pytest.mark.parametrize("left_out", [*([name] for name in FIELDS), FIELDS], ids=lambda names: names[0][:12])
def test_every_field_of_a_rollout_is_optional(quiet_trainer, memory_logger, left_out):
    full = random_rollout(0, 0)
    rollout = replace(full, **dict.fromkeys(left_out))
    callbacks = [RolloutCallback(), HistogramCallback(1), ImageCallback(1, figures=True)]
    with warned() as reported:
        module = Agent(losses(*[0.0] * 4), make=lambda at, env_steps: replace(rollout, env_steps=env_steps + 16))
        quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(module)
    assert reported == []
    histograms = {name for name in ("rewards", "actions", "values", "advantages") if name not in left_out}
    assert histograms == {
        name for name in ("rewards", "actions", "values", "advantages") if f"rollout/{name}" in memory_logger.tags
    }
    assert ("observations" in memory_logger.tags) == ("observations" not in left_out)


def test_a_state_saved_before_the_start_is_the_one_that_was_loaded():
    first, second = RolloutCallback(), RolloutCallback()
    first._pending = [(Axes(64, 4, time.time() - 5.0), RolloutStatistics.of(random_rollout(0, 0)))]
    state = first.state_dict()
    second.load_state_dict(state)
    assert second.state_dict()["pending"] == state["pending"]


def test_rollouts_that_are_gathered_at_a_step_do_not_move_what_others_measure_at_it(quiet_trainer, memory_logger):
    """Each of them is a point of its own, and the next step's number would take the place of one that was moved."""

    class GathersTwo(RolloutCallback):
        next_step = 0

        def on_step(self, trainer, pl_module, metrics):
            recorder = Recorder.of(trainer)
            for reward in (1.0, 2.0) if recorder.counters.optimizer_steps % 4 == 0 else ():
                recorder.record({"train/reward": reward}, axes=recorder.counters.axes())

    callbacks = [GathersTwo(), GradientCallback(1), MetricsCallback(1)]
    quiet_trainer(logger=memory_logger, callbacks=callbacks).fit(Supervised(losses(*range(12))))
    assert memory_logger.series("train/reward") == [(4, 1.0), (5, 2.0), (8, 1.0), (9, 2.0), (12, 1.0), (13, 2.0)]
    for tag in ("gradient_norm/total", "train/loss"):
        assert [step for step, _ in memory_logger.series(tag)] == list(range(1, 13)), tag
