"""The first hour of a new user: README's commands and examples in order, in a fresh folder."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest

from puffer_callbacks.cli.main import COMMANDS as KNOWN_COMMANDS
from tests.support.readme import README, ROOT, commands, examples, shortened

READER = """
import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger
from puffer_callbacks import *
from puffer_callbacks.adapters import Loop, SB3Bridge
from puffer_callbacks.ppo import PPO as _PPO
from tests.support.models import Supervised, losses, random_rollout

torch.set_num_threads(1)
module = _PPO.from_preset("CartPole", total_timesteps=2048)
agent = torch.nn.Linear(4, 2)
hparams, updates = {"gamma": 0.99}, 3
rollout = random_rollout(0, 0)
policy_loss, value_loss = 0.5, 0.25
level, returns, pixels = 1.0, torch.randn(9), np.zeros((8, 8, 3), np.uint8)
MyLogger = type("MyLogger", (Logger,), {"name": "mine", "version": "0"})
self = type("Run", (), {"trainer": type("Trainer", (), {"callbacks": [], "loggers": []})()})()


class MyModule(Supervised):
    def __init__(self):
        super().__init__(losses(0.0) * 2000)

    def train_dataloader(self):
        return range(100)
"""
"""What an example may take from its reader; one that is whole takes nothing."""

RUN = """
import json, sys
names = {"__name__": "first_hour"}
reader, *examples = json.load(sys.stdin)
exec(reader, names)
for number, code in enumerate(examples, 1):
    print(f"example {number}", flush=True)
    if "stable_baselines3" in code or "SB3Bridge(" in code:
        from stable_baselines3 import PPO
        names["PPO"] = PPO
    exec(compile(code, f"README.md, example {number}", "exec"), names)
"""

COMMANDS = """
import json, sys
from puffer_callbacks.cli import main
for arguments in json.load(sys.stdin):
    print("puffer-callbacks", *arguments, flush=True)
    try:
        status = main(arguments)
    except SystemExit as end:  # of --help
        status = end.code
    assert not status, (status, arguments)
"""

PUFFERL = """
from lightning.pytorch.loggers import TensorBoardLogger
from pufferlib.pufferl import PuffeRL
from puffer_callbacks import default_callbacks
from puffer_callbacks.adapters import PuffeRLBridge
from tests.adapters.puffer import CONFIG, make_parts

vecenv, policy = make_parts()
config = CONFIG | {"data_dir": "runs", "use_rnn": False}
"""

IS_TEST = "def test_"


def run(*command: str, **arguments: object) -> str:
    """Run a process in this folder; its output, once it has ended well."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TERM": "dumb"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=600, env=environment, **arguments
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def short(arguments: list[str], number: int) -> list[str]:
    """The command with few steps, and more than those before it, so that a resume has some left."""
    if arguments[0] != "train" or "--help" in arguments or "--print_config" in arguments:
        return arguments
    return [*arguments, "--total-timesteps", str(2048 * number)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder, and a home without accounts."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETRC", str(tmp_path.parent / "no_netrc"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_the_first_hour(folder: Path) -> None:
    try_the_commands()
    assert list(folder.rglob("*tfevents*")) and list(folder.rglob("last.ckpt"))
    run(sys.executable, "-c", RUN, input=json.dumps([READER, *map(shortened, in_one_process())]))
    try_the_tests(folder)
    left = {path.name for path in folder.iterdir()}
    assert {name for name in left if name not in README} == set()


def try_the_commands() -> None:
    """All of them in one process, which imports torch once; others try each in a process of its own."""
    typed: list[list[str]] = []
    for number, arguments in enumerate(commands(), 1):
        if arguments[0] not in KNOWN_COMMANDS or arguments[0] == "watch":  # which follows a run without end
            continue
        for option, value in pairwise(arguments):
            if option == "--config" and not Path(value).exists():
                Path(value).write_text(run(sys.executable, "-m", "puffer_callbacks", "train", "--print_config"))
        typed.append(short(arguments, number))
    run(sys.executable, "-c", COMMANDS, input=json.dumps(typed))


def in_one_process() -> list[str]:
    """The examples that share a process, as they share a notebook."""
    return [code for code in examples() if IS_TEST not in code and "PuffeRLBridge(" not in code]


def try_the_tests(folder: Path) -> None:
    """The tests that a reader writes: they pass, and leave nothing behind."""
    tests = [code for code in examples() if IS_TEST in code]
    assert tests
    file = folder / "test_example.py"
    for code in tests:
        file.write_text(READER + code)
        before = set(folder.rglob("*"))
        run(sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", file.name)
        assert set(folder.rglob("*")) == before
    file.unlink()


@pytest.mark.skipif(not find_spec("pufferlib"), reason="pufferlib-core is not installed")
def test_the_examples_of_pufferlib(folder: Path) -> None:
    for code in examples():
        if "PuffeRLBridge(" in code:
            run(sys.executable, "-c", PUFFERL + shortened(code))
            assert list(Path("runs").rglob("*tfevents*"))
