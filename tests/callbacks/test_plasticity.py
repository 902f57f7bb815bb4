"""PlasticityCallback in real fits."""

import numpy as np
import pytest
import torch
from torch import nn

from puffer_callbacks import MemoryLogger, PlasticityCallback, Recorder, Rollout
from puffer_callbacks.adapters import Loop, RslRlBridge
from puffer_callbacks.faults import PufferWarning
from puffer_callbacks.measure.layer_plasticity import layer_plasticity, weight_norms
from puffer_callbacks.ppo import PPO
from tests.support.models import Supervised, losses

SMALL = {"num_envs": 4, "num_steps": 64, "batch_size": 64}


def test_every_layer_of_a_policy_at_the_first_rollout_and_each_interval(quiet_trainer, memory_logger):
    module = PPO("CartPole-v1", total_timesteps=2048, hidden_sizes=[32, 16], **SMALL)
    quiet_trainer(max_epochs=-1, logger=memory_logger, callbacks=[PlasticityCallback(every_n_steps=48)]).fit(module)
    for layer in ("actor.1", "actor.3", "critic.1", "critic.3"):
        for name in ("dormant_ratio", "effective_rank", "feature_norm", "saturated_ratio"):
            points = memory_logger.series(f"plasticity/{name}/policy.{layer}")
            assert [step for step, _ in points] == [256, 1024, 1792]  # 16 updates a rollout
    assert memory_logger.series("plasticity/saturated_ratio/policy.actor.1")[0][1] == 0.0
    assert 1 <= memory_logger.series("plasticity/effective_rank/policy.actor.3")[0][1] <= 16


def test_layers_against_numpy():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh())
    with torch.no_grad():
        net[0].bias[:4] = -100.0
    batch = torch.randn(64, 5)
    found = layer_plasticity(net, batch)
    hidden = net[1](net[0](batch)).detach().double().numpy()
    scores = np.abs(hidden).mean(0) / np.abs(hidden).mean()
    assert found["plasticity/dormant_ratio/1"] == pytest.approx((scores <= 0.025).mean())
    singular = np.linalg.svd(hidden, compute_uv=False)
    assert found["plasticity/effective_rank/1"] == np.argmax(np.cumsum(singular) / singular.sum() >= 0.99) + 1
    assert found["plasticity/feature_norm/1"] == pytest.approx(np.linalg.norm(hidden, axis=1).mean(), rel=1e-6)
    mean = (found["plasticity/dormant_ratio/1"] + found["plasticity/dormant_ratio/3"]) / 2
    assert found["plasticity/dormant_ratio"] == pytest.approx(mean)
    assert "plasticity/saturated_ratio/1" not in found


def test_channels_of_pictures_are_units():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with torch.no_grad():
        net[0].bias[:] = torch.tensor([1.0, -50.0, 1.0, -50.0])
        net[0].weight.zero_()
    found = layer_plasticity(net, torch.ones(2, 1, 8, 8))
    assert found["plasticity/dormant_ratio/1"] == 0.5
    assert "plasticity/effective_rank/1" not in found


def test_weight_norms_add_up():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    found = weight_norms(net)
    each = [found[f"plasticity/weight_norm/{at}"] for at in range(2)]
    assert found["plasticity/weight_norm"] == pytest.approx(np.linalg.norm(each), rel=1e-6)
    assert each[0] ** 2 == pytest.approx(sum(p.square().sum().item() for p in net[0].parameters()), rel=1e-5)


def test_it_leaves_nothing_behind(quiet_trainer):
    trained = []
    for callbacks in ([], [PlasticityCallback(every_n_steps=4)]):
        module = PPO("CartPole-v1", total_timesteps=1024, **SMALL)
        quiet_trainer(max_epochs=-1, callbacks=callbacks).fit(module)
        assert all(not part._forward_hooks for part in module.modules())
        trained.append(torch.cat([parameter.detach().flatten() for parameter in module.parameters()]))
    assert torch.equal(*trained)


def test_without_rollouts_the_first_batch_is_the_probe(quiet_trainer, memory_logger):
    class Classifier(Supervised):
        def __init__(self):
            super().__init__(losses(*[0.5] * 8))
            self.net = nn.Sequential(nn.Linear(3, 4), nn.ReLU())

        def forward(self, batch):
            return self.net(batch)

        def train_dataloader(self):
            return torch.utils.data.DataLoader(torch.randn(8, 3), batch_size=1)

    quiet_trainer(logger=memory_logger, callbacks=[PlasticityCallback(every_n_steps=4)]).fit(Classifier())
    assert [step for step, _ in memory_logger.series("plasticity/dormant_ratio/net.1")] == [4, 8]


STEPS = 12


def looped(module, rollout=None, *, batch=None, episodes=False):
    """Twelve updates of a loop, each after a rollout or a finished episode if there are any; what it logged."""
    logger, loss = MemoryLogger(), sum(p.sum() for p in module.parameters()) * 0.0
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    with Loop(logger, [Recorder("optimizer_steps", overhead_budget=1.0), PlasticityCallback(3)]) as loop:
        loop.fit_start(module)
        for _ in range(STEPS):
            if rollout is not None:
                loop.rollout_end(rollout)
            if episodes:
                loop.episodes(1.0, 10)
            loss.backward(retain_graph=True)
            optimizer.step()
            loop.step({"loss": 1.0}, batch=batch)
    return logger


def net(inputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), nn.Linear(8, 2))


def dormant(hidden):
    scores = np.abs(hidden).mean(0)
    return float((scores <= 0.025 * scores.mean()).mean())


class TakesDict(nn.Module):
    """A policy of a dict observation space, as one argument."""

    def __init__(self):
        super().__init__()
        self.net = net(7)

    def forward(self, observations):
        return self.net(torch.cat([observations["state"], observations["goal"]["place"]], dim=-1))


class TakesNames(TakesDict):
    """Or as an argument for each."""

    def forward(self, state, goal):
        return super().forward({"state": state, "goal": goal})


def test_finished_episodes_alone_are_no_rollouts_to_probe_with():
    batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    logger = looped(net(), batch=batch, episodes=True)
    hidden = net()[:2](batch).detach().double().numpy()
    for tag, value in (("plasticity/dormant_ratio/1", dormant(hidden)), ("plasticity/weight_norm", None)):
        assert [step for step, _ in logger.series(tag)] == [3, 6, 9, 12]
        assert value is None or logger.series(tag)[0][1] == pytest.approx(value)


@pytest.mark.parametrize("kind", [TakesDict, TakesNames])
def test_observations_of_a_dict_space_are_the_probe(kind):
    generator = torch.Generator().manual_seed(2)
    state, place = (torch.randn(6, 2, size, generator=generator) for size in (4, 3))
    module = kind()
    with torch.no_grad():
        module.net[0].bias[:3] = -100.0
    logger = looped(module, Rollout(observations={"state": state, "goal": {"place": place}}))
    hidden = module.net[:2](torch.cat([state, place], dim=-1).flatten(0, 1)).detach().double().numpy()
    points = logger.series("plasticity/dormant_ratio/net.1")
    assert [step for step, _ in points] == [0, 3, 6, 9]
    assert [value for _, value in points] == pytest.approx([dormant(hidden)] * 4)
    assert dormant(hidden) >= 3 / 8


def test_where_the_policy_takes_other_observations_the_batch_is_the_probe():
    batch = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    logger = looped(net(), Rollout(observations={"camera": torch.zeros(6, 2, 5)}), batch=batch)
    hidden = net()[:2](batch).detach().double().numpy()
    points = logger.series("plasticity/dormant_ratio/1")
    assert [step for step, _ in points] == [3, 6, 9, 12]
    assert points[0][1] == pytest.approx(dormant(hidden))


@pytest.mark.parametrize("observations", [{"camera": torch.zeros(6, 2, 5)}, torch.zeros(6, 2, 5)])
def test_where_it_takes_neither_it_is_said_once(observations):
    with pytest.warns(PufferWarning, match="PlasticityCallback: .*expected a batch that Sequential takes") as reported:
        logger = looped(net(), Rollout(observations=observations), batch="words")
    assert len([warning for warning in reported if "PlasticityCallback" in str(warning.message)]) == 1
    assert logger.series("plasticity/weight_norm")
    assert "plasticity/dormant_ratio" not in logger.tags


def test_a_resume_knows_what_the_policy_refused():
    callback, resumed = PlasticityCallback(3), PlasticityCallback(3)
    callback._refused = ValueError("no such input")
    resumed.load_state_dict(callback.state_dict())
    assert str(resumed._refused) == "no such input"
    resumed.load_state_dict({"saw_rollout": True, "last": 3})  # of an earlier version
    assert resumed._refused is None


def test_rsl_rl_s_observations_are_the_probe(capsys):
    pytest.importorskip("rsl_rl")
    from tests.adapters.rsl_rl.arithmetic import make_runner

    logger = MemoryLogger()
    callbacks = [Recorder(overhead_budget=1.0), PlasticityCallback(8)]  # of 8 updates of each rollout
    RslRlBridge(logger, callbacks).attach(make_runner()).learn(3)
    for name in ("dormant_ratio", "effective_rank", "feature_norm"):
        assert [step for step, _ in logger.series(f"plasticity/{name}/actor.mlp.1")] == [128, 256, 384]


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"num_samples": 0}])
def test_bad_numbers_are_one_clear_line(options):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PlasticityCallback(**options)
