"""The options of ``train``: those of the run, and every hyperparameter of PPO from its signature."""

import argparse
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from docstring_parser import parse as parse_docstring

from puffer_callbacks.cli.defaults import Defaults
from puffer_callbacks.cli.parser import CommandParser, file_path, option, shown
from puffer_callbacks.ppo import PPO


def train_parser(defaults: Defaults) -> CommandParser:
    """The parser of ``train``.

    Args:
        defaults: the values that are used where an option is left out.
    """
    parser = CommandParser(
        prog="puffer-callbacks train",
        usage="%(prog)s [--env ENV] [--log-dir FOLDER] [option …]",
        description="Train PPO on a Gymnasium environment, logged to TensorBoard, W&B or both.",
        epilog="Example: puffer-callbacks train --env CartPole --log-dir runs/exp1",
    )
    _add_run_options(parser, defaults)
    group = parser.add_argument_group("hyperparameters", defaults.describe())
    for name, kind, description in hyperparameters():
        convert, arguments = _CONVERTERS[kind]
        note = f"(default: {shown(defaults.values[name])}{defaults.mark(name)})"
        text = f"{description} {note}".replace("%", "%%")
        group.add_argument(option(name), type=convert, default=defaults.values[name], help=text, **arguments)
    return parser


def _add_run_options(parser: CommandParser, defaults: Defaults) -> None:
    run = parser.add_argument_group("run")
    run.add_argument("--env", default=defaults.env_id, help=f"Gymnasium environment (default: {defaults.env_id})")
    folder = f"folder of the event files and checkpoints (default: {defaults.folder('DATE_TIME')})"
    run.add_argument("--log-dir", type=file_path, metavar="FOLDER", help=folder)
    run.add_argument("--run-name", metavar="NAME", help="name of the run, a folder in --log-dir (default: none)")
    run.add_argument("--wandb", **_FLAG, type=flag, default=False, help="log to Weights & Biases, offline without key")
    project = "W&B project (default: %(default)s)"
    run.add_argument("--wandb-project", metavar="NAME", default="puffer_callbacks", help=project)
    run.add_argument("--checkpoint", metavar="FILE", help="continue from this checkpoint, with its hyperparameters")
    run.add_argument(
        "--config", metavar="FILE", help="YAML file with any of these options, as hparams.yaml; later ones win"
    )
    run.add_argument("--print_config", "--print-config", action="store_true", help="print the options as YAML and exit")


def hyperparameters() -> list[tuple[str, Any, str]]:
    """Name, type and description of every argument of ``PPO`` but the environment.

    Example:
        >>> [name for name, *_ in hyperparameters()][:2]
        ['total_timesteps', 'num_envs']
    """
    kinds = get_type_hints(PPO.__init__)
    texts = {param.arg_name: param.description or "" for param in parse_docstring(PPO.__doc__ or "").params}
    names = list(inspect.signature(PPO).parameters)[1:]
    return [(name, kinds[name], " ".join(texts[name].split()).rstrip(".")) for name in names]


def flag(text: str) -> bool:
    """``true`` or ``false``, whatever the case."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, got {text!r}")
    return text.lower() == "true"


def number(text: str) -> float | str:
    """A number; other text stays, so that PPO's own check names what it expects."""
    try:
        return float(text)
    except ValueError:
        return text


def count(text: str) -> int | float | str:
    """An integer, also as ``3e4`` or ``30_000``."""
    try:
        return int(text)
    except ValueError:
        value = number(text)
        return int(value) if isinstance(value, float) and value.is_integer() else text


def limit(text: str) -> float | str | None:
    """A number, or ``none``."""
    return None if text.lower() in ("none", "null") else number(text)


def sizes(text: str) -> tuple[Any, ...] | str:
    """Integers as ``32,32``, ``32 32``, ``[32, 32]`` or ``(32, 32)``."""
    values = tuple(count(part) for part in re.split(r"[\s,]+", text.strip("[]() ")) if part)
    return values if all(isinstance(value, int) for value in values) else text


class _Sizes(argparse.Action):
    """Takes sizes as one argument or several."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, sizes(" ".join(values)))


_FLAG: dict[str, Any] = {"nargs": "?", "const": True, "metavar": "true|false"}

_CONVERTERS: dict[Any, tuple[Callable[[str], Any], dict[str, Any]]] = {
    int: (count, {"metavar": "N"}),
    float: (number, {"metavar": "X"}),
    float | None: (limit, {"metavar": "X"}),
    bool: (flag, _FLAG),
    str: (str, {"metavar": "NAME"}),
    Sequence[int]: (str, {"action": _Sizes, "nargs": "+", "metavar": "N"}),
}
"""Type of a hyperparameter to how its option is read."""
