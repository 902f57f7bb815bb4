import copy
import gc
import logging
import pickle
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import nn
from torch.optim import optimizer as torch_optimizer

from puffer_callbacks import (
    GradientCallback,
    HistogramCallback,
    MemoryLogger,
    MetricsCallback,
    PufferCallback,
    Recorder,
    Rollout,
    RolloutCallback,
    adapters,
    default_callbacks,
    emit,
    log,
)
from puffer_callbacks.adapters import Loop
from tests.adapters import cleanrl
from tests.support.models import random_rollout
from tests.support.reading import tensorboard_scalars
from tests.support.warned import warned


class Spy(PufferCallback):
    """Writes down which hooks were called, and what the gradients were."""

    def __init__(self):
        self.hooks = []
        self.gradients = []
        self.metrics = []

    def setup(self, trainer, pl_module, stage):
        super().setup(trainer, pl_module, stage)
        self.hooks.append(f"setup {stage}")

    def teardown(self, trainer, pl_module, stage):
        self.hooks.append(f"teardown {stage}")

    def on_fit_start(self, trainer, pl_module):
        self.hooks.append("on_fit_start")

    def on_train_start(self, trainer, pl_module):
        self.hooks.append("on_train_start")

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.hooks.append("before")
        self.gradients.append(torch.cat([p.grad.flatten() for p in pl_module.parameters()]))

    def on_step(self, trainer, pl_module, metrics):
        self.hooks.append("on_step")
        self.metrics.append(dict(metrics))

    def on_rollout_end(self, trainer, pl_module, rollout):
        self.hooks.append("on_rollout_end")

    def on_train_end(self, trainer, pl_module):
        self.hooks.append("on_train_end")

    def on_fit_end(self, trainer, pl_module):
        self.hooks.append("on_fit_end")

    def on_exception(self, trainer, pl_module, exception):
        self.hooks.append(f"on_exception {exception}")


def network():
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def update(module, optimizer, *, clip=None, scale=100.0):
    optimizer.zero_grad()
    (module(torch.ones(2, 4)).sum() * scale).backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), clip)
    optimizer.step()


def names(logger, prefix):
    return {tag.removeprefix(prefix) for tag in logger.tags if tag.startswith(prefix)}


def nothing_is_left(module, optimizer):
    hooks = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
    clips = (nn.utils.clip_grad_norm_, nn.utils.clip_grad_value_)
    return (
        not any(hooks)
        and not torch_optimizer._global_optimizer_pre_hooks
        and not torch_optimizer._global_optimizer_post_hooks
        and all(clip.__code__.co_filename.startswith(torch.__path__[0]) for clip in clips)
        and not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    )


def test_hooks_come_in_lightning_s_order():
    spy, module = Spy(), network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(None, spy) as loop:
        loop.fit_start(module)
        loop.rollout_end(random_rollout(0, 0))
        update(module, optimizer)
        loop.step({"loss": 1.0})
    begin = ["setup fit", "on_fit_start", "on_train_start"]
    end = ["on_train_end", "on_fit_end", "teardown fit"]
    assert spy.hooks == [*begin, "on_rollout_end", "before", "on_step", *end]


def test_a_script_in_cleanrl_s_structure_logs_every_tag_at_its_agent_step(memory_logger):
    loop = Loop(memory_logger, [Recorder(overhead_budget=1.0), *default_callbacks(metrics=8, histograms=16)])
    cleanrl.train(loop)
    steps = list(range(256, 2049, 256))
    for tag in (
        "train/reward",
        "train/policy_loss",
        "losses/value",
        "losses/entropy",
        "diagnostics/approx_kl",
    ):
        assert [step for step, _ in memory_logger.series(tag)] == steps, tag
    for tag in ("weights/actor.0.weight", "gradients/critic.2.bias", "rollout/advantages", "rollout/actions"):
        assert [step for step, _ in memory_logger.series(tag)] == [steps[0], *steps[1::2]], tag
    assert memory_logger.series("time/optimizer_steps") == [(step, step / 32.0) for step in steps]
    settings = memory_logger.series("hyperparameters")[0][1].settings
    assert (settings["total_timesteps"], settings["lr"], settings["optimizer/eps"]) == (2048, 2.5e-3, 1e-5)


def test_training_is_the_same_bit_for_bit_with_a_loop_and_without(memory_logger):
    plain = cleanrl.train(None, total_timesteps=1024)
    recorded = cleanrl.train(Loop(memory_logger, default_callbacks(metrics=1, histograms=1)), total_timesteps=1024)
    for (name, one), other in zip(plain.named_parameters(), recorded.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_every_backend_gets_it(tmp_path):
    loggers = [TensorBoardLogger(tmp_path, name="tb"), CSVLogger(tmp_path, name="csv")]
    cleanrl.train(Loop(loggers, default_callbacks(metrics=8)), total_timesteps=512)
    assert [step for step, _ in tensorboard_scalars(loggers[0].log_dir)["train/policy_loss"]] == [256, 512]
    assert "train/policy_loss" in (tmp_path / "csv" / "version_0" / "metrics.csv").read_text()


def test_a_loop_without_rollouts_is_over_optimizer_steps(memory_logger):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, default_callbacks(metrics=2)) as loop:
        loop.fit_start(module)
        for at in range(4):
            update(module, optimizer)
            loop.step({"loss": float(at)})
    assert memory_logger.series("train/loss") == [(2, 0.5), (4, 2.5)]
    assert memory_logger.series("train/learning_rate") == [(2, 0.1), (4, 0.1)]
    assert "time/env_steps" not in memory_logger.tags


@pytest.mark.parametrize("source", ["module", "function", "rollout"])
def test_environment_steps_come_from_the_module_a_function_or_the_rollout(memory_logger, source):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    steps = {"now": 0}
    with Loop(memory_logger, MetricsCallback(1)) as loop:
        if source == "module":
            module.env_steps = 0
        loop.fit_start(module, env_steps=(lambda: steps["now"]) if source == "function" else None)
        for at in (16, 32):
            steps["now"] = at
            if source == "module":
                module.env_steps = at
            if source == "rollout":
                loop.rollout_end(random_rollout(0, at - 16))
            update(module, optimizer)
            loop.step({"loss": 1.0})
    assert memory_logger.series("train/loss") == [(16, 1.0), (32, 1.0)]


def test_gradients_are_those_before_the_clip():
    spy, module = Spy(), network()
    twin = copy.deepcopy(module)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(None, spy) as loop:
        loop.fit_start(module)
        update(module, optimizer, clip=0.5)
        loop.step({})
    (twin(torch.ones(2, 4)).sum() * 100.0).backward()
    assert torch.equal(spy.gradients[0], torch.cat([p.grad.flatten() for p in twin.parameters()]))
    assert torch.cat([p.grad.flatten() for p in module.parameters()]).norm() < 0.51


def test_parts_clipped_one_after_the_other_are_measured_once_before_both():
    spy, module = Spy(), network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.0)
    with Loop(None, spy) as loop:
        loop.fit_start(module)
        for _ in range(2):
            optimizer.zero_grad()
            (module(torch.ones(2, 4)).sum() * 100.0).backward()
            nn.utils.clip_grad_value_(module[0].parameters(), 1e-3)
            nn.utils.clip_grad_norm_(module[2].parameters(), 1e-3)
            optimizer.step()
            loop.step({})
    assert spy.hooks.count("before") == 2
    assert torch.equal(*spy.gradients)
    assert spy.gradients[0].norm() > 10


def test_a_step_that_a_gradient_scaler_skips_is_measured_anew():
    spy, module = Spy(), network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    with Loop(None, spy) as loop:
        loop.fit_start(module)
        for factor in (float("inf"), 1.0):
            optimizer.zero_grad()
            scaler.scale(module(torch.ones(2, 4)).sum() * factor).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(module.parameters(), 1e-3)
            scaler.step(optimizer)
            scaler.update()
            loop.step({})
        assert Recorder.of(loop).counters.optimizer_steps == 1
    assert len(spy.gradients) == 2
    assert not spy.gradients[0].isfinite().all()
    assert spy.gradients[1].isfinite().all()


def test_a_closure_s_gradients_are_measured_after_its_first_call():
    spy, module = Spy(), network()
    optimizer = torch.optim.LBFGS(module.parameters(), max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = module(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss

    with Loop(None, spy) as loop:
        loop.fit_start(module)
        optimizer.step(closure)
        optimizer.step(closure=closure)
        loop.step({})
    assert spy.hooks.count("before") == 2
    assert all(gradient.abs().sum() > 0 for gradient in spy.gradients)


class Norms(Callback):
    """Each optimizer that is about to step, and whether its gradients are as large as before a clip to a thousandth."""

    def __init__(self):
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        gradients = [parameter.grad for group in optimizer.param_groups for parameter in group["params"]]
        self.seen.append((optimizer, bool(torch.cat([each.flatten() for each in gradients]).norm() > 10)))


def test_each_optimizer_is_measured_once_at_the_clip_of_its_own_parameters():
    module, norms = nn.ModuleDict({"actor": network(), "critic": network()}), Norms()
    actor, critic = (torch.optim.SGD(module[name].parameters(), lr=0.0) for name in ("actor", "critic"))
    with Loop(None, [norms, GradientCallback(every_n_steps=50)]) as loop:  # which asks for no step between
        loop.fit_start(module)
        for _ in range(3):
            update(module["actor"], actor, clip=1e-3)
            update(module["critic"], critic, clip=1e-3)
            loop.step()
    assert norms.seen == 3 * [(actor, True), (critic, True)]


def test_a_clip_within_a_closure_is_measured_at_its_first_call_and_each_step_of_it_counts():
    module, norms, spy = network(), Norms(), Spy()
    optimizer = torch.optim.LBFGS(module.parameters(), lr=1e-6, max_iter=3, tolerance_change=0)
    calls = []

    def closure():
        calls.append(1)
        optimizer.zero_grad()
        loss = 100 * module(torch.ones(2, 4)).sum()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1e-3)
        return loss

    with Loop(None, [norms, spy]) as loop:
        loop.fit_start(module)
        for _ in range(3):
            optimizer.step(closure)
    assert len(calls) == 9
    assert norms.seen == 3 * [(optimizer, True)]
    assert spy.hooks.count("on_step") == 3, "though the loop reports none"


def test_a_closure_may_be_none():
    module, spy = network(), Spy()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(None, spy) as loop:
        loop.fit_start(module)
        update(module, optimizer)
        optimizer.step(None)
        optimizer.step(closure=None)
    assert spy.hooks.count("before") == 3


def test_an_optimizer_made_later_is_found_and_another_module_s_is_not(memory_logger):
    module, other_module = network(), network()
    spy = Spy()
    with Loop(memory_logger, [MetricsCallback(1), spy]) as loop:
        loop.fit_start(module)
        other = torch.optim.SGD(other_module.parameters(), lr=0.5)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.25)
        for _ in range(3):
            update(other_module, other)
            update(module, optimizer)
            loop.step({"loss": 1.0})
        assert loop.optimizers == [optimizer]
    assert spy.hooks.count("before") == 3
    assert memory_logger.series("train/learning_rate") == [(1, 0.25), (2, 0.25), (3, 0.25)]


def test_of_several_optimizers_the_busiest_sets_the_pace():
    module = nn.ModuleDict({"actor": network(), "critic": network()})
    actor = torch.optim.SGD(module["actor"].parameters(), lr=0.1)
    critic = torch.optim.SGD(module["critic"].parameters(), lr=0.1)
    steps = []

    class Steps(PufferCallback):
        def on_step(self, trainer, pl_module, metrics):
            steps.append(Recorder.of(trainer).counters.optimizer_steps)

    with Loop(None, Steps()) as loop:
        loop.fit_start(module)
        for at in range(4):
            update(module["critic"], critic)
            if at % 2 == 0:
                update(module["actor"], actor)
    assert steps == [1, 2, 3, 4]


def test_steps_that_are_not_reported_still_count(memory_logger):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, [MetricsCallback(10), HistogramCallback(4)]) as loop:
        loop.fit_start(module)
        for at in range(3):
            for _ in range(10):
                update(module, optimizer)
            loop.step({"loss": float(at)})
    assert memory_logger.series("train/loss") == [(10, 0.0), (20, 1.0), (30, 2.0)]
    every_four = [1, 4, 8, 12, 16, 20, 24, 28]
    assert [step for step, _ in memory_logger.series("weights/0.weight")] == [*every_four, 30], "the end too"
    assert [step for step, _ in memory_logger.series("gradients/0.weight")] == every_four


def test_a_rollout_of_no_steps_or_no_environments_ends_no_loop(memory_logger):
    module = network()
    with Loop(memory_logger, default_callbacks(plasticity=1)) as loop:
        loop.fit_start(module)
        for shape in ((0, 4), (8, 0)):
            zeros = torch.zeros(shape)
            fields = dict.fromkeys(("actions", "rewards", "dones", "values", "log_probs", "advantages"), zeros)
            loop.rollout_end(Rollout(observations=torch.zeros(*shape, 4), entropy=zeros, **fields))
        loop.step({"loss": 1.0})
    assert memory_logger.series("train/loss") == [(0, 1.0)]


def test_a_loop_without_scalars_is_reported_in_its_own_words():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with warned() as reported, Loop(None, MetricsCallback(2)) as loop:
        loop.fit_start(module)
        update(module, optimizer)
        loop.step()
    assert len(reported) == 1 and "expected steps with scalars, as loop.step({'loss': …}); got none" in reported[0]


def test_a_clip_of_what_another_optimizer_steps_next_is_within_the_training_step():
    module, steps = network(), []
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for _ in range(2)]

    class Steps(GradientCallback):
        def on_step(self, trainer, pl_module, metrics):
            steps.append(Recorder.of(trainer).counters.optimizer_steps)

    with Loop(None, Steps(1)) as loop:
        loop.fit_start(module, optimizers=optimizers)
        for _ in range(4):
            for optimizer in optimizers:
                update(module, optimizer, clip=1.0)
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_norm_that_is_computed_by_a_clip_after_the_step_is_no_step(clip):
    """With no limit, as for a log."""
    module, steps = network(), []
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)

    class Steps(GradientCallback):
        def on_step(self, trainer, pl_module, metrics):
            steps.append(metrics["at"])

    with Loop(None, Steps(1)) as loop:
        loop.fit_start(module)
        for at in range(4):
            update(module, optimizer, clip=clip)
            nn.utils.clip_grad_norm_(module.parameters(), float("inf"))
            loop.step({"at": at})
    assert steps == [0, 1, 2, 3]


@pytest.mark.parametrize("reported_every", [1, 3])
def test_each_step_is_measured_before_a_clip_however_seldom_steps_are_reported(memory_logger, reported_every):
    module = nn.ModuleDict({"actor": nn.Linear(2, 1), "critic": nn.Linear(2, 1)})
    optimizers = {name: torch.optim.SGD(each.parameters(), lr=1e-6) for name, each in module.items()}
    with Loop(memory_logger, [GradientCallback(1), HistogramCallback(1, weights=False)]) as loop:
        loop.fit_start(module)
        for at in range(1, 7):
            for name, optimizer in optimizers.items():
                optimizer.zero_grad()
                (at * module[name](torch.ones(1, 2)).sum()).backward()
                nn.utils.clip_grad_norm_(module[name].parameters(), 1e-3)
                optimizer.step()
            if at % reported_every == 0:
                loop.step({"loss": 1.0})
    norms = [(at, pytest.approx(at * 3**0.5)) for at in range(1, 7)]  # of two weights and a bias
    assert memory_logger.series("gradient_norm/actor") == memory_logger.series("gradient_norm/critic") == norms
    sums = [found.sum for _, found in memory_logger.series("gradients/critic.weight")]
    assert sums == [pytest.approx(2 * at) for at in range(1, 7)]


def test_an_interval_that_is_over_asks_for_scalars_once_until_a_step_has_some(memory_logger, monkeypatch):
    asked, on_step = [], MetricsCallback.on_step

    def count(self, trainer, pl_module, metrics):
        asked.append(Recorder.of(trainer).counters.optimizer_steps)
        on_step(self, trainer, pl_module, metrics)

    monkeypatch.setattr(MetricsCallback, "on_step", count)
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, [MetricsCallback(5)]) as loop:
        loop.fit_start(module)
        for at in range(2):
            for _ in range(40):
                update(module, optimizer)
            loop.step({"loss": float(at)})
    assert memory_logger.series("train/loss") == [(40, 0.0), (80, 1.0)]
    assert asked == [5, 40, 45, 80]


def test_several_modules_and_a_tensor_train_in_one_loop(memory_logger):
    actor, critic = nn.Linear(3, 1), nn.Linear(4, 1)
    log_alpha = torch.zeros(1, requires_grad=True)
    optimizers = {
        "actor": torch.optim.SGD(actor.parameters(), lr=0.1),
        "critic": torch.optim.SGD(critic.parameters(), lr=0.2),
        "log_alpha": torch.optim.SGD([log_alpha], lr=0.3),
    }
    with Loop(memory_logger, default_callbacks(metrics=1, histograms=4, gradients=4)) as loop:
        loop.fit_start({"actor": actor, "critic": critic, "log_alpha": log_alpha}, optimizers=[*optimizers.values()])
        for at in range(8):
            for name, loss in (
                ("critic", critic(torch.ones(4))),
                ("actor", actor(torch.ones(3))),
                ("log_alpha", 2 * log_alpha),
            ):
                if name == "critic" or at % 2:  # delayed
                    optimizers[name].zero_grad()
                    loss.sum().backward()
                    optimizers[name].step()
            loop.step({"critic_loss": float(at)})
    steps = {"critic": [1, 4, 8], "actor": [4, 8], "log_alpha": [4, 8]}
    for name in ("critic.weight", "actor.bias", "log_alpha"):
        assert [step for step, _ in memory_logger.series(f"weights/{name}")] == [1, 4, 8]
        found = [step for step, _ in memory_logger.series(f"gradients/{name}")]
        assert found[-2:] == steps[name.split(".")[0]][-2:], name
    norms = {4: 5**0.5, 3: 4**0.5, 1: 2.0}  # of a gradient of ones, and of 2
    assert memory_logger.series("gradient_norm/critic")[0][1] == pytest.approx(norms[4])
    assert memory_logger.series("gradient_norm/actor")[0][1] == pytest.approx(norms[3])
    assert memory_logger.series("train/learning_rate/2")[-1][1] == 0.3
    assert vars(actor).keys() == vars(nn.Linear(3, 1)).keys()


def test_a_group_of_anything_else_is_an_error():
    with pytest.raises(TypeError, match=r"fit_start: expected modules and tensors to train, got 'alpha': float"):
        Loop(None, []).fit_start({"actor": network(), "alpha": 0.2})


def test_an_off_policy_loop_logs_episodes_as_they_end(memory_logger):
    module, seen = network(), {"steps": 0}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, default_callbacks(metrics=1)) as loop:
        loop.fit_start(module, env_steps=lambda: seen["steps"])
        for at in range(1, 4):
            seen["steps"] = at * 10
            loop.episodes([[float(at)], [at + 2.0]], [[5], [7]])
            update(module, optimizer)
            loop.step({"loss": 1.0})
        with pytest.raises(ValueError, match="episodes: expected as many lengths as returns, got 2 and 1"):
            loop.episodes([1.0, 2.0], [3])
    assert memory_logger.series("train/reward") == [(10, 2.0), (20, 3.0), (30, 4.0)]
    assert memory_logger.series("train/episode_length") == [(10, 6.0), (20, 6.0), (30, 6.0)]
    assert memory_logger.series("rollout/return_max") == [(10, 3.0), (20, 4.0), (30, 5.0)]


def test_a_replay_batch_is_in_the_histograms_and_no_rollout(memory_logger):
    module, spy = network(), Spy()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, [spy, *default_callbacks(histograms=4)]) as loop:
        loop.fit_start(module)
        for at in range(1, 9):
            loop.replay_batch(actions=torch.ones(6, 2), rewards=torch.full((6, 1), float(at)))
            update(module, optimizer)
            loop.episodes(1.0)
            loop.step({"loss": 1.0})
    rewards = memory_logger.series("rollout/rewards")
    assert [(step, histogram.min, histogram.count) for step, histogram in rewards] == [(1, 1, 6), (4, 4, 6), (8, 8, 6)]
    assert memory_logger.series("rollout/actions")[0][1].count == 12
    assert spy.hooks.count("on_rollout_end") == 8, "the episodes alone"


def test_returns_may_be_whole_numbers_one_or_several(memory_logger):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(memory_logger, RolloutCallback()) as loop:
        loop.fit_start(module)
        for returns in (4, [1, 2], np.array([[0, 1]])):
            loop.episodes(returns)
            update(module, optimizer)
            loop.step()
    assert memory_logger.series("rollout/return_mean") == [(0, 4.0), (1, 1.5), (2, 0.5)]


def test_a_model_that_was_trained_before_goes_on_at_its_steps_and_listed_optimizers_keep_their_order(memory_logger):
    module = network()
    first, last = (torch.optim.SGD(module[at].parameters(), lr=0.1) for at in (0, 2))
    with Loop(memory_logger, MetricsCallback(1)) as loop:
        loop.fit_start(module, optimizers=[last, first], global_step=100)
        assert loop.optimizers == [last, first] and loop.global_step == 100
        loop.rollout_end(random_rollout(0, 0))
        assert loop.current_epoch == 1
        update(module, last)
        loop.step({"loss": 2.0})
    assert memory_logger.series("time/optimizer_steps")[-1][1] == 101


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("targets", [True, False])
def test_a_library_s_explained_variance_stands_where_no_callback_computes_it(memory_logger, counted, targets):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    values = torch.tensor([[0.0], [2.0], [4.0], [6.0]])
    fields = {"values": values, "returns": values + torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])} if targets else {}
    with Loop(memory_logger, [MetricsCallback(1), *([RolloutCallback()] if counted else [])]) as loop:
        loop.fit_start(module)
        loop.rollout_end(Rollout(rewards=values, env_steps=4, **fields))
        update(module, optimizer)
        loop.update_end({"explained_variance": 0.25, "loss": 1.0})
    # returns 1, 1, 5, 5 of variance 4, and errors of variance 1
    assert memory_logger.series("diagnostics/explained_variance") == [(4, 0.75 if counted and targets else 0.25)]
    assert "train/explained_variance" not in memory_logger.tags


def test_metrics_may_be_a_tensordict(memory_logger):
    tensordict = pytest.importorskip("tensordict")
    with Loop(memory_logger, MetricsCallback(1)) as loop:
        loop.fit_start(module := network())
        update(module, torch.optim.SGD(module.parameters(), lr=0.1))
        losses = {"loss_objective": torch.tensor(0.5), "clip": {"fraction": torch.tensor(0.25)}}
        loop.step(tensordict.TensorDict(losses, []))
    assert memory_logger.series("train/loss_objective") == [(1, 0.5)]
    assert memory_logger.series("train/clip/fraction") == [(1, 0.25)]


def test_a_folder_and_plain_options_stand_for_loggers_and_callbacks(tmp_path):
    for run in range(2):
        with Loop(log_dir=tmp_path, callbacks={"metrics": 1, "histograms": False}) as loop:
            loop.fit_start(module := network())
            update(module, torch.optim.SGD(module.parameters(), lr=0.1))
            loop.step({"loss": float(run)})
    assert [tensorboard_scalars(tmp_path / f"version_{run}")["train/loss"] for run in range(2)] == [
        [(1, 0.0)],
        [(1, 1.0)],
    ]
    kinds = [type(callback).__name__ for callback in Loop(log_dir=tmp_path).callbacks]
    assert kinds == [type(callback).__name__ for callback in default_callbacks()]


@pytest.mark.parametrize("name", ["PuffeRLBridge", "RslRlBridge", "TransformersCallback"])
def test_a_folder_stands_for_a_logger_of_every_bridge(name, tmp_path):
    if name == "TransformersCallback":
        pytest.importorskip("transformers")
    bridge = getattr(adapters, name)(log_dir=tmp_path, callbacks=[])
    assert bridge.loop.logger.log_dir == str(tmp_path / "version_0")


def test_a_loop_without_callbacks_calls_none_and_leaves_torch_s_clip_alone():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    clip = nn.utils.clip_grad_norm_
    with Loop(MemoryLogger(), []) as loop:
        loop.fit_start(module)
        assert nn.utils.clip_grad_norm_ is clip
        assert loop.callbacks == [Recorder.of(loop)]
        assert not callable(Recorder.of(loop).on_before_optimizer_step)
        update(module, optimizer)
        loop.step({"loss": 1.0})


def test_the_time_of_our_hooks_is_measured():
    class Slow(HistogramCallback):
        def before_optimizer_step(self, *arguments):
            time.sleep(0.02)
            return super().before_optimizer_step(*arguments)

    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(None, Slow(1)) as loop:
        loop.fit_start(module)
        stopwatch = Recorder.of(loop).run.stopwatch
        for _ in range(5):
            update(module, optimizer)
            loop.step()
        assert 0.1 < stopwatch.inside < stopwatch.elapsed, "once, not twice"


def test_nothing_is_left_behind():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    before = dict(vars(module))
    for _ in range(2):
        with Loop(MemoryLogger(), default_callbacks()) as loop:
            loop.fit_start(module)
            update(module, optimizer, clip=1.0)
            loop.step({"loss": 1.0})
    assert nothing_is_left(module, optimizer)
    assert vars(module) == before


def test_a_loop_that_an_exception_left_open_ends_when_its_module_is_trained_again():
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    left, again = MemoryLogger(), MemoryLogger()
    abandoned = Loop(left, default_callbacks(metrics=1))
    with warned() as reported:
        for loop in (abandoned, Loop(again, default_callbacks(metrics=1))):
            loop.fit_start(module)
            for _ in range(2):
                update(module, optimizer, clip=1.0)
                loop.step({"loss": 1.0})
    assert len(reported) == 1 and "got one of another Loop, which is ended now" in reported[0]
    assert not abandoned.is_open and loop.is_open
    loop.close()
    assert [step for step, _ in left.series("train/loss")] == [1, 2]
    assert [step for step, _ in again.series("train/loss")] == [1, 2]
    assert nothing_is_left(module, optimizer)


def test_the_module_can_be_saved_and_copied_meanwhile(tmp_path):
    module = network()
    with Loop(MemoryLogger(), default_callbacks()) as loop:
        loop.fit_start(module)
        assert copy.deepcopy(module)[0].weight.equal(module[0].weight)
        assert pickle.loads(pickle.dumps(module))[0].weight.equal(module[0].weight)
        assert copy.deepcopy(loop.lightning_module)[0].weight.equal(module[0].weight)


def test_callbacks_see_a_module_with_the_attributes_of_lightning_s():
    module = network()
    seen = {}

    class Look(PufferCallback):
        def on_step(self, trainer, pl_module, metrics):
            seen.update(
                hparams=pl_module.hparams,
                trainer=pl_module.trainer,
                env_steps=pl_module.env_steps,
                names=[name for name, _ in pl_module.named_parameters()],
                same=isinstance(pl_module, nn.Sequential) and pl_module[0] is module[0],
            )
            pl_module.eval()

    with Loop(None, Look()) as loop:
        loop.fit_start(module, Namespace(gamma=0.9))
        loop.step({})
        assert seen["trainer"] is loop
    assert seen["hparams"] == {"gamma": 0.9}
    assert seen["env_steps"] is None
    assert seen["names"] == [name for name, _ in module.named_parameters()]
    assert seen["same"]
    assert not module.training


def test_log_and_emit_take_the_loop_for_the_trainer(memory_logger):
    module = network()
    with Loop(memory_logger, RolloutCallback()) as loop:
        loop.fit_start(module)
        emit(loop, "on_rollout_end", random_rollout(0, 0))
        log(loop, {"curriculum/level": 3})
    assert memory_logger.series("curriculum/level") == [(16, 3.0)]
    assert memory_logger.series("train/reward")[0][0] == 16


@dataclass
class Config:
    gamma: float = 0.9


@pytest.mark.parametrize("hparams", [{"gamma": 0.9}, Namespace(gamma=0.9), Config()])
def test_hyperparameters_come_in_any_form(memory_logger, hparams):
    with Loop(memory_logger, default_callbacks()) as loop:
        loop.fit_start(network(), hparams)
    first, last = (value for _, value in memory_logger.series("hyperparameters"))
    assert first.settings["gamma"] == 0.9
    assert (first.status, last.status) == ("running", "success")


def test_an_exception_is_recorded_with_its_reason_and_raised_again(tmp_path):
    spy, logger = Spy(), MemoryLogger()
    statuses = []
    logger.finalize = statuses.append
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with pytest.raises(ZeroDivisionError), Loop(logger, [spy, *default_callbacks()]) as loop:
        loop.fit_start(module)
        update(module, optimizer)
        loop.step({"loss": 3.0})
        raise ZeroDivisionError("no agents")
    assert spy.hooks[-1] == "on_exception no agents"
    assert logger.series("train/loss") == [(1, 3.0)]
    assert "ZeroDivisionError: no agents" in logger.text
    assert logger.series("hyperparameters")[-1][1].status == "failure"
    assert statuses == ["failed"]
    assert nothing_is_left(module, optimizer)


@pytest.mark.parametrize(("code", "status"), [(0, "success"), (None, "success"), (1, "failure"), ("why", "failure")])
def test_a_script_that_exits_in_the_block_has_failed_only_by_its_status(memory_logger, code, status):
    with pytest.raises(SystemExit), Loop(memory_logger, default_callbacks()) as loop:
        loop.fit_start(network())
        sys.exit(code)
    assert memory_logger.series("hyperparameters")[-1][1].status == status
    assert ("run/ended_by" in memory_logger.text) == (status == "failure")


def test_a_generator_that_trains_and_is_closed_has_succeeded(memory_logger):
    def updates():
        with Loop(memory_logger, default_callbacks()) as loop:
            loop.fit_start(network())
            while True:
                loop.step({"loss": 1.0})
                yield

    training = updates()
    next(training)
    training.close()
    assert memory_logger.series("hyperparameters")[-1][1].status == "success"
    assert "run/ended_by" not in memory_logger.text


def test_a_fit_can_be_closed_twice_and_begun_again(memory_logger):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loop = Loop(memory_logger, MetricsCallback(1))
    for _ in range(2):
        loop.fit_start(module)
        update(module, optimizer)
        loop.step({"loss": 1.0})
        loop.close()
        loop.close()
    assert memory_logger.series("train/loss") == [(1, 1.0), (2, 1.0)]


def test_a_resumed_loop_continues_counters_and_intervals():
    def run(upto, logger, state=None, since=0):
        module = network()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        loop = Loop(logger, default_callbacks(metrics=4, histograms=4))
        if state is not None:
            loop.load_state_dict(state)
        loop.fit_start(module)
        for at in range(since, upto):
            update(module, optimizer)
            loop.step({"loss": float(at)})
        return loop

    whole, first, second = MemoryLogger(), MemoryLogger(), MemoryLogger()
    run(12, whole).close()
    interrupted = run(6, first)
    state = pickle.loads(pickle.dumps(interrupted.state_dict()))
    interrupted.close()
    run(12, second, state, since=6).close()
    assert second.series("train/loss") == whole.series("train/loss")[1:]
    steps = [step for step, _ in second.series("weights/0.weight")]
    assert steps == [step for step, _ in whole.series("weights/0.weight")][2:]


@pytest.mark.parametrize("cut", [1, 2, 3, 6, 7])
@pytest.mark.parametrize("after", ["actor", "critic"])
def test_a_checkpoint_between_an_optimizer_s_step_and_the_loop_s_has_what_was_measured(cut, after):
    def run(steps, state=None, *, stepped=(), save_after=None):
        """Train from a step on; of the first one what ``stepped`` names has stepped already."""
        memory = MemoryLogger()
        loop = Loop(memory, [Recorder(overhead_budget=1.0), *(each(3) for each in measuring)])
        nets = {name: nn.Linear(4, 1) for name in ("actor", "critic")}
        for at, net in enumerate(nets.values()):
            nn.init.constant_(net.weight, 1.0 + at), nn.init.constant_(net.bias, 0.5)
        optimizers = {name: torch.optim.SGD(net.parameters(), lr=0.0) for name, net in nets.items()}
        if state is not None:
            loop.load_state_dict(state)
        loop.fit_start(nets, optimizers=list(optimizers.values()))
        for step in steps:
            for name, net in nets.items():
                if step != steps[0] or name not in stepped:
                    optimizers[name].zero_grad()
                    net(torch.randn(8, 4, generator=torch.Generator().manual_seed(step))).square().mean().backward()
                    optimizers[name].step()
                if save_after == name and step == steps[-1]:
                    state = loop.state_dict()
                    loop.step({"loss": float(step)})
                    loop.close()
                    return state
            loop.step({"loss": float(step)}, batch=torch.zeros(8))
        loop.close()
        return {
            tag: memory.series(tag) for tag in memory.tags if not tag.startswith(("time/", "throughput", "logging"))
        }

    measuring = (MetricsCallback, GradientCallback, HistogramCallback)
    whole = run(range(1, 11))
    state = run(range(1, cut + 1), save_after=after)
    resumed = run(range(cut, 11), state, stepped={"actor": ["actor"], "critic": ["actor", "critic"]}[after])
    assert {"gradient_norm/actor", "gradients/critic.weight", "weights/actor.weight", "gradient_noise_scale"} <= set(
        whole
    )
    for tag, points in whole.items():
        expected = [(x, pytest.approx(value) if isinstance(value, float) else value) for x, value in points if x >= cut]
        assert [point for point in resumed.get(tag, []) if point[0] >= cut] == expected, tag


def test_a_loop_that_waits_for_its_start_has_the_checkpoint_s_state():
    with Loop([], [MetricsCallback(1)]) as loop:
        loop.fit_start(network())
        state = loop.state_dict()
    waiting = Loop([], [MetricsCallback(1)])
    waiting.load_state_dict(state)
    assert waiting.state_dict() == state


def test_a_loop_that_goes_on_from_its_own_checkpoint_counts_no_episode_twice(memory_logger):
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loop = Loop(memory_logger, [RolloutCallback()])

    def train(since, upto):
        for at in range(since, upto):
            loop.rollout_end(Rollout(episode_returns=torch.tensor([float(at)]), env_steps=10 * (at + 1)))
            update(module, optimizer)
            loop.step({"loss": float(at)})

    loop.fit_start(module)
    train(0, 6)
    state = loop.state_dict()
    train(6, 8)
    loop.close()
    loop.load_state_dict(state)
    loop.fit_start(module)
    train(6, 10)
    loop.close()
    assert memory_logger.series("rollout/return_last_100")[-1] == (100, 4.5)  # of 0 to 9


def actor_and_critic(logger, upto, *, since=0, state=None, made="before", between=lambda: None):
    """An actor that steps every second time, with a rate of 0.25, and a critic that steps each time, with 0.5."""
    networks = {"actor": network(), "critic": network()}
    loop = Loop(logger, [Recorder(overhead_budget=1.0), MetricsCallback(1)])
    if state is not None:
        loop.load_state_dict(state)

    def make(name, lr):
        return torch.optim.SGD(networks[name].parameters(), lr=lr)

    if made == "after":
        loop.fit_start(networks)
    optimizers = {"actor": make("actor", 0.25)}
    between()
    optimizers["critic"] = make("critic", 0.5)
    if made == "before":
        loop.fit_start(networks)
    for at in range(since, upto):
        for name in ("actor", "critic") if at % 2 == 0 else ("critic",):
            update(networks[name], optimizers[name])
        loop.step({"loss": float(at)})
    state = pickle.loads(pickle.dumps(loop.state_dict()))
    loop.close()
    return state


@pytest.mark.parametrize("made", ["before", "after"])
@pytest.mark.parametrize("collects", [False, True])
def test_which_optimizer_is_which_depends_on_no_garbage_collector_and_no_resume(made, collects):
    between = gc.collect if collects else lambda: None  # as Python itself may at any time
    first, second = MemoryLogger(), MemoryLogger()
    state = actor_and_critic(first, 5, made=made)
    end = actor_and_critic(second, 12, since=5, state=state, made=made, between=between)
    counters = end["Recorder"]["counters"]
    assert (counters["optimizer_steps"], counters["each_optimizer"]) == (12, [6, 12])
    assert second.series("train/loss")[-7:] == [(at + 1, float(at)) for at in range(5, 12)]
    for logger in (first, second):
        assert {rate for _, rate in logger.series("train/learning_rate")} == {0.25}
        assert {rate for _, rate in logger.series("train/learning_rate/1")} == {0.5}


def test_found_optimizers_come_in_the_order_in_which_modules_and_tensors_are_listed():
    log_alpha, actor = torch.zeros(1, requires_grad=True), network()
    rates = {id(actor): 0.25, id(log_alpha): 0.5}
    alpha = torch.optim.SGD([log_alpha], lr=rates[id(log_alpha)])
    policy = torch.optim.SGD(actor.parameters(), lr=rates[id(actor)])
    with Loop(None, [MetricsCallback(1)]) as loop:
        loop.fit_start({"actor": actor, "log_alpha": log_alpha})
        assert loop.optimizers == [policy, alpha]
        loop.fit_start({"log_alpha": log_alpha, "actor": actor})
        assert loop.optimizers == [alpha, policy]


@pytest.mark.parametrize("last", [False, True])
def test_an_optimizer_that_is_made_in_the_middle_of_a_run_adds_no_step(last):
    networks, steps = {"actor": network(), "critic": network()}, []
    actor = torch.optim.SGD(networks["actor"].parameters(), lr=0.1)
    with Loop(None, [MetricsCallback(1)]) as loop:
        loop.fit_start(networks)
        optimizers = {"actor": actor}
        for at in range(6):
            if at == 3:
                critic = torch.optim.SGD(networks["critic"].parameters(), lr=0.1)
                optimizers = {"actor": actor, "critic": critic} if last else {"critic": critic, "actor": actor}
            for name, optimizer in optimizers.items():
                update(networks[name], optimizer)
            loop.step({"loss": 1.0})
            steps.append(Recorder.of(loop).counters.optimizer_steps)
    assert steps == [1, 2, 3, 4, 5, 6]


def test_an_optimizer_that_takes_over_from_another_goes_on_at_the_run_s_steps():
    module, steps = network(), []
    with Loop(None, [MetricsCallback(1)]) as loop:
        loop.fit_start(module)
        for at in range(6):
            if at % 2 == 0:
                optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
            update(module, optimizer)
            loop.step({"loss": 1.0})
            steps.append(Recorder.of(loop).counters.optimizer_steps)
    assert steps == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("rollouts", [1, 3])
@pytest.mark.parametrize("restored", ["before", "after the start", "never"])
def test_environment_steps_go_on_wherever_a_loop_restores_its_count(restored, rollouts):
    state, series = None, []
    for is_second_life in (False, True):
        saved, logger = 16 * rollouts * is_second_life, MemoryLogger()
        collected = saved if restored == "before" else 0
        module = network()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        loop = Loop(logger, [MetricsCallback(1)])
        if state is not None:
            loop.load_state_dict(state)
        loop.fit_start(module, env_steps=lambda: collected)  # noqa: B023
        collected = 0 if restored == "never" else saved
        for _ in range(rollouts):
            collected += 16
            update(module, optimizer)
            loop.step({"loss": 1.0})
        state = pickle.loads(pickle.dumps(loop.state_dict()))
        loop.close()
        series.append([step for step, _ in logger.series("time/env_steps")])
    assert series[1][-rollouts:] == [16 * at for at in range(rollouts + 1, 2 * rollouts + 1)]


def test_the_critic_s_fit_is_the_rollouts_after_a_checkpoint_between_rollout_and_update():
    values, targets = torch.tensor([[1.0], [2.0], [4.0]]), torch.tensor([[1.0], [3.0], [5.0]])
    rollout = Rollout(values=values, returns=targets, env_steps=3)
    loggers, state = [], None
    for is_second_life in (False, True):
        loggers.append(MemoryLogger())
        module = network()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        loop = Loop(loggers[-1], [RolloutCallback()])
        if state is not None:
            loop.load_state_dict(state)
        loop.fit_start(module)
        if not is_second_life:
            loop.rollout_end(rollout)
            state = pickle.loads(pickle.dumps(loop.state_dict()))
        update(module, optimizer)
        loop.update_end({"explained_variance": 0.25})  # a library's own, of other minibatches
        loop.close()
    fit = 1 - np.var([0.0, 1.0, 1.0]) / np.var([1.0, 3.0, 5.0])
    assert [logger.series("diagnostics/explained_variance") for logger in loggers] == 2 * [[(3, pytest.approx(fit))]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_parameters_keep_their_names_in_a_compiled_module(memory_logger):
    module = network()
    wrapped = torch.compile(module, backend="eager")
    with Loop(memory_logger, HistogramCallback(1)) as loop:
        loop.fit_start(wrapped)
        update(wrapped, torch.optim.SGD(wrapped.parameters(), lr=0.1))
        loop.step({})
    assert names(memory_logger, "weights/") == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_measures_are_exact_inside_of_autocast():
    seen = []

    class Multiply(PufferCallback):
        def on_step(self, trainer, pl_module, metrics):
            seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)

    with Loop(None, Multiply()) as loop:
        loop.fit_start(network())
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loop.step({})
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
    assert seen == [torch.float32]


SCRIPT = """
import torch
from lightning.pytorch.loggers import CSVLogger
from puffer_callbacks import default_callbacks
from puffer_callbacks.adapters import Loop
module = torch.nn.Linear(2, 1)
optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
loop = Loop(CSVLogger({folder!r}, name="", version=""), default_callbacks())
loop.fit_start(module, {{"gamma": 0.9}})
for _ in range(3):
    module(torch.ones(2)).sum().backward()
    optimizer.step()
    loop.step({{"loss": 2.5}})
{last}
"""


@pytest.mark.parametrize(("last", "code"), [("", 0), ("raise ValueError('too hot')", 1)])
def test_a_script_that_ends_without_a_close_loses_nothing(tmp_path, last, code):
    script = SCRIPT.format(folder=str(tmp_path), last=last)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    written = (tmp_path / "metrics.csv").read_text()
    assert "2.5" in written
    assert ("ValueError: too hot" in written) == bool(code)


def test_a_user_s_own_callback_may_raise():
    class Strict(Callback):
        def on_train_end(self, trainer, pl_module):
            raise OSError("mine")

    loop = Loop(None, [Strict(), MetricsCallback()])
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    loop.fit_start(module)
    update(module, optimizer)
    with pytest.raises(OSError, match="mine"):
        loop.close()
    assert nothing_is_left(module, optimizer)
    assert not loop.is_open


def test_loggers_that_are_left_out_are_named_once_and_none_is_an_answer(caplog, tmp_path):
    with caplog.at_level(logging.WARNING, logger="puffer_callbacks"):
        Loop(None), Loop([]), Loop(log_dir=tmp_path)
        assert caplog.messages == []
        Loop()
    (line,) = caplog.messages
    assert line.startswith(
        "loggers: expected a logger or log_dir='runs', which writes TensorBoard's files, got neither"
    )


def test_bad_input_gets_one_clear_error():
    loop = Loop(None, MetricsCallback())
    with pytest.raises(RuntimeError, match=r"step: expected a fit that is open, got none; call fit_start"):
        loop.step({"loss": 1.0})
    with pytest.raises(RuntimeError, match=r"rollout_end: expected a fit that is open"):
        loop.rollout_end(random_rollout(0, 0))
    with pytest.raises(RuntimeError, match=r"episodes: expected a fit that is open"):
        loop.episodes(1.0)
    with pytest.raises(RuntimeError, match=r"replay_batch: expected a fit that is open"):
        loop.replay_batch(rewards=torch.ones(3))
    with pytest.raises(TypeError, match=r"fit_start: expected a torch.nn.Module to train, got dict"):
        loop.fit_start({})
    with pytest.raises(TypeError, match=r"hparams: expected a mapping, Namespace or dataclass, got int"):
        loop.fit_start(network(), 3)
    with pytest.raises(TypeError, match=r"optimizers: expected torch optimizers, got float"):
        loop.fit_start(network(), optimizers=0.1)
    with pytest.raises(TypeError, match=r"callbacks: expected Lightning callbacks, got str"):
        Loop(None, "metrics")
    loop.fit_start(network())
    with pytest.raises(TypeError, match=r"on_rollout_end: expected one Rollout, got Tensor"):
        loop.rollout_end(torch.zeros(3))
    with pytest.raises(RuntimeError, match=r"load_state_dict: expected to come before fit_start"):
        loop.load_state_dict({})
    loop.close()
