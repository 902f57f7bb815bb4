import random

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

from puffer_callbacks import MemoryLogger, Rollout, emit
from puffer_callbacks.callbacks.attention import AttentionCallback
from puffer_callbacks.callbacks.image import ImageCallback
from puffer_callbacks.callbacks.video import VideoCallback
from puffer_callbacks.ppo.module import PPO
from tests.support.worlds import Dot

STEPS = 8


class Looker(pl.LightningModule):
    """A policy with attention, dropout and running statistics; it samples by the global generators."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(1, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.3, batch_first=True)
        self.norm = nn.BatchNorm1d(16)
        self.head = nn.Linear(16, 2)
        self.frozen = nn.Dropout(0.5)
        self.env = Dot(length=10)
        self.env.reset(seed=0)
        self.env_steps, self.calls, self.trace = 0, 0, []

    def forward(self, observations):
        self.calls += 1
        hidden = self.layer(self.embed(observations.unsqueeze(-1)))
        return self.frozen(self.head(self.norm(hidden.mean(1))))

    def training_step(self, batch, batch_idx):
        rollout = self.collect()
        emit(self, "on_rollout_end", rollout)
        log_probs = self(rollout.observations.flatten(0, 1)).log_softmax(-1)
        chosen = log_probs.gather(-1, rollout.actions.flatten().unsqueeze(-1))
        loss = -(chosen.squeeze(-1) * torch.randn(STEPS)).mean()
        draws = (random.random(), np.random.rand(), torch.rand(1).item())
        self.trace.append((loss.item(), self.calls, self.env.at, *draws, [part.training for part in self.modules()]))
        return {"loss": loss}

    @torch.no_grad()
    def collect(self):
        observations, actions = [], []
        observation, _ = self.env.reset()
        for _ in range(STEPS):
            observations.append(torch.as_tensor(observation))
            logits = self.eval()(observations[-1].unsqueeze(0))
            self.train()
            self.frozen.eval()
            actions.append(torch.multinomial(logits.softmax(-1), 1).reshape(()))
            observation, *_ = self.env.step(int(actions[-1]))
        self.env_steps += STEPS
        rewards = torch.ones(STEPS, 1)
        seen, done = torch.stack(observations).unsqueeze(1), torch.zeros(STEPS, 1, dtype=torch.bool)
        return Rollout(seen, torch.stack(actions).unsqueeze(1), rewards, done, env_steps=self.env_steps)

    def on_after_backward(self):
        self.trace.append({name: p.grad.clone() for name, p in self.named_parameters()})

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.01)

    def train_dataloader(self):
        return range(6)


def train(quiet_trainer, module, *callbacks, **arguments):
    logger = MemoryLogger()
    trainer = quiet_trainer(callbacks=list(callbacks), logger=logger, **arguments)
    trainer.fit(module)
    return trainer.optimizers[0].state_dict()["state"], logger


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def seeded(build):
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    return build()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo's
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_is_bit_for_bit_the_same_with_and_without_pictures(quiet_trainer, compiled):
    def build():
        module = Looker()
        if compiled:
            module.layer = torch.compile(module.layer, backend="eager")
        return module

    plain = seeded(build)
    optimizer, _ = train(quiet_trainer, plain)
    end = torch.rand(3)
    pictured = seeded(build)
    callbacks = (
        ImageCallback(every_n_rollouts=1),
        AttentionCallback(every_n_steps=1, probe=torch.ones(2, 4)),
        VideoCallback(lambda: Dot(length=7), every_n_rollouts=1),
    )
    with_pictures, logger = train(quiet_trainer, pictured, *callbacks)
    assert torch.equal(torch.rand(3), end)
    assert same(pictured.trace, plain.trace)
    assert same(pictured.state_dict(), plain.state_dict())
    assert same(with_pictures, optimizer)
    for tag in ("observations", "attention/layer.self_attn", "episodes"):
        assert len(logger.series(tag)) == 6


def test_the_reference_module_learns_bit_for_bit_the_same(quiet_trainer):
    pytest.importorskip("pygame")
    settings = {"total_timesteps": 512, "num_envs": 4, "num_steps": 32, "batch_size": 64, "update_epochs": 2}
    runs = []
    for callbacks in (
        (),
        (ImageCallback(1), AttentionCallback(1), VideoCallback(every_n_rollouts=1, max_steps=30)),
    ):
        module = seeded(lambda: PPO("CartPole", norm_obs=True, norm_reward=True, **settings))
        if callbacks:
            with pytest.warns(UserWarning, match="PPO attends to nothing"):
                optimizer, logger = train(quiet_trainer, module, *callbacks, max_epochs=-1)
            assert len(logger.series("episodes")) == len(logger.series("observations")) == 4
        else:
            optimizer, _ = train(quiet_trainer, module, max_epochs=-1)
        runs.append((module.state_dict(), optimizer, torch.rand(3), module.env_steps))
    assert same(*runs)
