"""The flags of ``train``: those of the run, and every hyperparameter of PPO from its signature."""

import inspect
from typing import Any, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ArgumentParser

from puffer_callbacks.ppo import PPO


def train_parser(presets: dict[str, Any]) -> ArgumentParser:
    """The parser of ``train``.

    Args:
        presets: hyperparameter to the default that stands in place of PPO's.
    """
    parser = ArgumentParser(
        exit_on_error=False,
        description="Train PPO on a Gymnasium environment, logged to TensorBoard, W&B or both.",
        epilog="Example: puffer-callbacks train --env CartPole --log-dir ./runs/exp1",
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these options")
    parser.add_argument("--env", type=str, default="CartPole", help="Gymnasium environment, CartPole or CartPole-v1")
    parser.add_argument("--log-dir", type=str | None, default=None, help="folder for TensorBoard's event files")
    parser.add_argument("--wandb", action="store_true", help="log to Weights & Biases; offline without a key")
    parser.add_argument("--wandb-project", type=str, default="puffer_callbacks", help="W&B project")
    parser.add_argument("--run-name", type=str | None, default=None, help="name of the run: a folder in --log-dir")
    parser.add_argument("--checkpoint", type=str | None, default=None, help="Lightning checkpoint to go on from")
    for name, kind, default, words in hyperparameters():
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=presets.get(name, default), help=words)
    return parser


def hyperparameters() -> list[tuple[str, Any, Any, str]]:
    """Name, type, default and description of every argument of ``PPO`` but the environment.

    Example:
        >>> [name for name, *_ in hyperparameters()][:2]
        ['total_timesteps', 'num_envs']
    """
    kinds = get_type_hints(PPO.__init__)
    words = {param.arg_name: param.description or "" for param in parse_docstring(PPO.__doc__ or "").params}
    arguments = list(inspect.signature(PPO.__init__).parameters.values())[2:]
    return [(arg.name, kinds[arg.name], arg.default, _one_line(words.get(arg.name, ""))) for arg in arguments]


def _one_line(words: str) -> str:
    return " ".join(words.split()).replace("%", "%%").rstrip(".")
