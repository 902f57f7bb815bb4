"""README's examples, run as they stand there, with what they leave to the reader filled in."""

import os
import re
import subprocess
import sys
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn

from puffer_callbacks import default_callbacks
from puffer_callbacks.adapters import Loop, SB3Bridge
from puffer_callbacks.ppo import PPO
from tests.support.models import random_rollout
from tests.support.reading import tensorboard_scalars

ROOT = Path(__file__).parents[1]
EXAMPLES = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def example(word):
    """The one example that has the word."""
    (found,) = (code for code in EXAMPLES if word in code)
    return found


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def logged():
    (folder,) = {path.parent for path in Path("runs").rglob("events*")}
    return tensorboard_scalars(folder)


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set", "ignore:The number of training batches")
def test_a_trainer():
    exec(example("any LightningModule"), {"module": PPO("CartPole", total_timesteps=2048)})
    assert logged()["train/loss"]


def test_a_loop():
    agent = nn.Linear(4, 2)
    optimizer = torch.optim.Adam(agent.parameters())
    names = {
        "Loop": Loop,
        "TensorBoardLogger": TensorBoardLogger,
        "default_callbacks": default_callbacks,
        "agent": agent,
        "hparams": {"gamma": 0.99},
        "updates": 3,
        "rollout": random_rollout(0, 0),
        "policy_loss": 0.5,
        "value_loss": 0.25,
        "torch": torch,
        "optimizer": optimizer,
    }
    collects = "...  # collect; loss.backward(); optimizer.step()"
    code = example("with Loop(")
    assert collects in code
    exec(code.replace(collects, "agent(torch.ones(4)).sum().backward(); optimizer.step()"), names)
    assert logged()["train/policy_loss"][-1][1] == 0.5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_stable_baselines3():
    stable_baselines3 = pytest.importorskip("stable_baselines3")
    names = {"PPO": stable_baselines3.PPO, "SB3Bridge": SB3Bridge}
    names |= {"TensorBoardLogger": TensorBoardLogger, "default_callbacks": default_callbacks}
    code = example("SB3Bridge(")
    assert "100_000" in code
    exec(code.replace("100_000", "2048"), names)
    assert logged()["train/policy_loss"]


@pytest.mark.skipif(not find_spec("pufferlib"), reason="pufferlib-core is not installed")
def test_pufferl():
    setting = """
        from lightning.pytorch.loggers import TensorBoardLogger
        from pufferlib.pufferl import PuffeRL
        from puffer_callbacks import default_callbacks
        from puffer_callbacks.adapters import PuffeRLBridge
        from tests.adapters.puffer import CONFIG, make_parts
        vecenv, policy = make_parts()
        config = CONFIG | {"data_dir": "runs", "use_rnn": False}
    """
    code = textwrap.dedent(setting) + example("PuffeRLBridge(")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert logged()["train/policy_loss"]
