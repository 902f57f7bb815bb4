"""The values of the options that are left out: a checkpoint's, or PPO's with the environment's preset."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import strftime
from typing import Any

from puffer_callbacks.cli.checkpoint import SavedRun, read_checkpoint
from puffer_callbacks.cli.parser import CommandParser, usage_errors
from puffer_callbacks.ppo import PPO, preset, resolve_env_id


@dataclass(frozen=True)
class Defaults:
    """Where a run starts from.

    Args:
        env_id: full name of the environment.
        values: hyperparameter to value.
        preset: the hyperparameters that are the environment's preset.
        saved: the checkpoint, if the run continues one.
    """

    env_id: str
    values: Mapping[str, Any]
    preset: frozenset[str] = frozenset()
    saved: SavedRun | None = None

    def mark(self, name: str) -> str:
        """The end of a default's description: where the value comes from."""
        return f", preset of {self.env_id}" if name in self.preset else ""

    def describe(self) -> str:
        """Where the values come from."""
        if self.saved is not None:
            return f"Defaults are those of {self.saved.path}; only --total-timesteps may differ."
        if self.preset:
            return f"Defaults are for {self.env_id}, which has a preset: values that are known to learn it."
        return f"Defaults are PPO's own; {self.env_id} has no preset."

    def folder(self, when: str | None = None) -> Path:
        """Where the run is logged without ``--log-dir``.

        Args:
            when: date and time in the folder's name; now where left out.
        """
        if self.saved is not None:
            return self.saved.folder
        name = f"{self.env_id}_{when or strftime('%Y-%m-%d_%H-%M-%S')}"
        return Path("runs") / name.replace("/", "_").replace(":", "_")


def defaults_for(arguments: Sequence[str]) -> Defaults:
    """The defaults for these command-line arguments: those of ``--checkpoint``, or the preset of ``--env``.

    Raises:
        UsageError: if the environment is unknown or the checkpoint cannot be read.
    """
    parser = CommandParser(add_help=False)
    parser.add_argument("--env", default="CartPole")
    parser.add_argument("--checkpoint")
    options, _ = parser.parse_known_args(arguments)
    if options.checkpoint is not None:
        saved = read_checkpoint(options.checkpoint)
        return Defaults(saved.env_id, saved.hyperparameters, saved=saved)
    with usage_errors():
        env_id = resolve_env_id(options.env)
    known = preset(env_id)
    own = {name: parameter.default for name, parameter in list(inspect.signature(PPO).parameters.items())[1:]}
    return Defaults(env_id, own | known, frozenset(known))
