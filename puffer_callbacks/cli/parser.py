"""An argument parser that answers bad input with one clear line."""

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn


class UsageError(ValueError):
    """Bad input; its message is the one line that the user reads."""


class CommandParser(argparse.ArgumentParser):
    """An ``ArgumentParser`` that raises ``UsageError`` and names similar options for an unknown one.

    Example:
        >>> parser = CommandParser(prog="train")
        >>> _ = parser.add_argument("--learning-rate")
        >>> parser.parse(["--lerning-rate", "0.1"])
        Traceback (most recent call last):
        puffer_callbacks.cli.parser.UsageError: unknown option --lerning-rate; near: --learning-rate (see train --help)
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(allow_abbrev=False, **arguments)

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse all arguments.

        Raises:
            UsageError: if an option is unknown, or its value cannot be used.
        """
        options, rest = self.parse_known_args(arguments)
        if rest:
            self.error(self._unknown(rest[0]))
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving the process."""
        raise UsageError(re.sub(r"^argument (\S+): ", r"\1: ", message))

    def _unknown(self, argument: str) -> str:
        option = argument.partition("=")[0]
        if not option.startswith("-"):
            return f"expected an option, got {argument!r} (see {self.prog} --help)"
        return f"unknown option {option}{near(option, self._option_string_actions)} (see {self.prog} --help)"


def near(name: str, names: Iterable[str]) -> str:
    """The end of an error message: the most similar names, or nothing.

    Example:
        >>> near("trian", ["train", "plot"])
        '; near: train'
    """
    matches = difflib.get_close_matches(name, list(names), n=3)
    return f"; near: {', '.join(matches)}" if matches else ""


def hyphenated(argument: str) -> str:
    """An argument as its option is spelled: W&B's sweeps, and people, write the names of hyperparameters.

    Example:
        >>> hyphenated("--learning_rate=0.1"), hyphenated("my_runs")
        ('--learning-rate=0.1', 'my_runs')
    """
    name, equals, value = argument.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else argument


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the error of a bad argument, or of a missing package, into the user's line, with the option's name.

    Example:
        >>> with usage_errors():
        ...     raise ValueError("num_envs: expected an integer of at least 1, got -3")
        Traceback (most recent call last):
        puffer_callbacks.cli.parser.UsageError: --num-envs: expected an integer of at least 1, got -3
    """
    try:
        yield
    except UsageError:
        raise
    except (ImportError, ValueError, TypeError) as error:
        message = " ".join(str(error).split())
        raise UsageError(re.sub(r"^([a-z_]+)(?=: )", lambda name: option(name[1]), message)) from error


def file_path(text: str) -> str:
    """The path of a file or folder, as it was typed; an empty one is most often a shell's variable without a value.

    Example:
        >>> file_path("")
        Traceback (most recent call last):
        argparse.ArgumentTypeError: expected a path, got ''
    """
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    return text


def option(name: str) -> str:
    """The option of a hyperparameter: ``--num-envs`` for ``num_envs``."""
    return "--env" if name == "env_id" else f"--{name.replace('_', '-')}"


def shown(value: object) -> str:
    """A value as it is typed after an option.

    Example:
        >>> shown((32, 32)), shown(None), shown(True), shown(0.5)
        ('32,32', 'none', 'true', '0.5')
    """
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
