"""Twenty runs in one process: nothing of a run stays when it has ended. PuffeRL's sweep is in its own tests."""

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from puffer_callbacks import default_callbacks
from puffer_callbacks.adapters import Loop
from tests.adapters.process_state import process_state
from tests.support.models import random_rollout

RUNS = 20


def loggers(folder, run):
    return [TensorBoardLogger(folder, version=f"tb{run}"), CSVLogger(folder, version=f"csv{run}")]


def loop_run(folder, run):
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 1))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.1)
    with Loop(loggers(folder, run), default_callbacks(metrics=1, histograms=1)) as loop:
        loop.fit_start(module, {"run": run})
        for at in range(3):
            loop.rollout_end(random_rollout(at, at * 16))
            module(torch.ones(2, 4)).sum().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 0.5)
            optimizer.step()
            loop.step({"loss": 1.0})


def stable_baselines3_run(folder, run):
    ppo = pytest.importorskip("stable_baselines3").PPO
    from puffer_callbacks.adapters import SB3Bridge

    model = ppo("MlpPolicy", "CartPole-v1", n_steps=32, batch_size=32, n_epochs=1, seed=run, device="cpu")
    model.learn(64, callback=SB3Bridge(loggers(folder, run), default_callbacks(metrics=1, histograms=1)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("one_run", [loop_run, stable_baselines3_run])
def test_twenty_runs_leave_nothing(one_run, tmp_path):
    one_run(tmp_path, 0)  # imports
    before = process_state()
    for run in range(1, RUNS):
        one_run(tmp_path, run)
    assert process_state() == before
