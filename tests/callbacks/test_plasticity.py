"""PlasticityCallback in real fits."""

import numpy as np
import pytest
import torch
from torch import nn

from puffer_callbacks import PlasticityCallback
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


@pytest.mark.parametrize("options", [{"every_n_steps": 0}, {"num_samples": 0}])
def test_bad_numbers_are_one_clear_line(options):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        PlasticityCallback(**options)
