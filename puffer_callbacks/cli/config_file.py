"""Options from a YAML file, as they would be typed, and to one."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from puffer_callbacks.cli.arguments import hyperparameters
from puffer_callbacks.cli.defaults import Defaults
from puffer_callbacks.cli.parser import CommandParser, UsageError, near, option, shown

_RUN_OPTIONS = ("env", "log_dir", "run_name", "wandb", "wandb_project", "checkpoint")


def with_config(arguments: Sequence[str]) -> list[str]:
    """The arguments with those of each ``--config FILE`` before them: later files win, and what was typed wins.

    Raises:
        UsageError: if the file cannot be read.
    """
    parser = CommandParser(add_help=False)
    parser.add_argument("--config", action="append", default=[])
    paths = parser.parse_known_args(arguments)[0].config
    return [*(option for path in paths for option in options_of(path)), *arguments]


def options_of(path: str) -> list[str]:
    """The options in a YAML file: a configuration of ``--print_config``, or the ``hparams.yaml`` of a run.

    In an ``hparams.yaml``, names with a slash are those of the optimizer and the trainer and are left out.

    Raises:
        UsageError: if the file cannot be read, is no mapping of names to values, or has a name that is no option.
    """
    expected = "--config: expected a YAML file of options and values"
    try:
        found: Any = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{expected}, got {path!r} ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{expected}, got {path!r} ({' '.join(str(error).split())})") from error
    if not isinstance(found, dict):
        given = "is empty" if found is None else f"holds {'a list' if isinstance(found, list) else repr(found)[:40]}"
        raise UsageError(f"{expected}, got {path!r}, which {given}")
    values = {str(name): value for name, value in found.items() if "/" not in str(name)}
    return [part for name, value in values.items() for part in _typed(name, value, path)]


def _typed(name: str, value: Any, path: str) -> list[str]:
    """An option and its value; none for an option of the run that is left out, ``log_dir: null``."""
    if name in ("config", "print_config"):
        raise UsageError(f"--config: expected options of a run in the file, got {name}; leave it out, or type it")
    names = [*_RUN_OPTIONS, *(name for name, *_ in hyperparameters())]
    if option(name) not in map(option, names):
        raise UsageError(f"--config: expected names of options, got {name!r} in {path!r}{near(name, names)}")
    if value is None and name in _RUN_OPTIONS:
        return []
    return [f"{option(name)}={shown(value)}"]


def configuration(options: Namespace, defaults: Defaults) -> str:
    """The options as YAML that ``--config`` takes; a comment marks the values of the environment's preset."""
    lines = [f"# {defaults.describe()}"]
    for name, value in vars(options).items():
        if name not in ("config", "print_config"):
            plain = list(value) if isinstance(value, tuple) else value
            entry = f"{name}: {yaml.safe_dump(plain, default_flow_style=True).splitlines()[0]}"
            is_preset = name in defaults.preset and value == defaults.values[name]
            lines.append(f"{entry}  # preset of {defaults.env_id}" if is_preset else entry)
    return "\n".join(lines)
