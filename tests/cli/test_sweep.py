"""The command line as the program of a W&B sweep: W&B's own code makes the commands, each run logs offline."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.reading import wandb_config, wandb_summary

SWEEP = yaml.safe_load("""
method: grid
metric: {name: rollout/return_last_100, goal: maximize}
parameters:
  learning_rate: {values: [0.001, 0.01]}
  anneal_lr: {value: false}
  hidden_sizes: {value: [8, 8]}
command:
  [-m, puffer_callbacks, train, --env, CartPole, --total-timesteps, "1024", --wandb, --log-dir, "${run}", "${args}"]
""")


def commands(folder):
    """A command for each learning rate, with the arguments that W&B's agent makes."""
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    fixed = {name: {"value": part["value"]} for name, part in SWEEP["parameters"].items() if "value" in part}
    for rate in SWEEP["parameters"]["learning_rate"]["values"]:
        arguments = utils.create_sweep_command_args({"args": {"learning_rate": {"value": rate}, **fixed}})["args"]
        parts = {"${args}": arguments, "${run}": [str(folder / str(rate))]}
        yield rate, [word for part in SWEEP["command"] for word in parts.get(part, [part])]


@pytest.mark.slow
def test_each_run_has_the_sweep_s_hyperparameters_and_its_metric(tmp_path):
    root = Path(__file__).parents[2]
    for rate, command in commands(tmp_path):
        subprocess.run([sys.executable, *command], check=True, cwd=root, capture_output=True, timeout=300)
        config = wandb_config(tmp_path / str(rate))
        assert (config["learning_rate"], config["anneal_lr"], config["hidden_sizes"]) == (rate, False, "(8, 8)")
        assert wandb_summary(tmp_path / str(rate))[SWEEP["metric"]["name"]] > 0
