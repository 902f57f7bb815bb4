"""The command line: parse, run, and answer bad input with one clear line."""

import re
import sys
from argparse import ArgumentError
from collections.abc import Sequence

from jsonargparse import ArgumentParser

from puffer_callbacks.cli.arguments import train_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; those of the process where ``None``.

    Returns:
        The exit status: 0, or 2 for bad input.

    Example:
        >>> main(["train", "--env", "CartPol"])
        2
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(argv)
    except (ArgumentError, ValueError, TypeError) as error:
        print(f"puffer-callbacks: error: {one_line(str(error))}", file=sys.stderr)
        return 2


def _parser(presets: dict[str, object]) -> ArgumentParser:
    parser = ArgumentParser(
        prog="puffer-callbacks", description="Train, and see what the run is doing.", exit_on_error=False
    )
    commands = parser.add_subcommands(dest="command", required=True)
    commands.add_subcommand("train", train_parser(presets), help="train PPO on a Gymnasium environment")
    return parser


def _run(argv: list[str]) -> int:
    from puffer_callbacks.cli.train import presets_for, train  # noqa: PLC0415  # torch: not for --help

    options = _parser({}).parse_args(argv)
    presets = presets_for(options.train.env)
    return train(_parser(presets).parse_args(argv).train)


def one_line(message: str) -> str:
    """A message as one line: which flag, what was expected, what was given."""
    argument = re.match(r"([a-z_]+): expected ", message)
    if argument is not None:
        flag = "env" if argument[1] == "env_id" else argument[1].replace("_", "-")
        return f"--{flag}{message[argument.end(1) :]}"
    key = re.match(r'Parser key "(?P<key>[^"]+)":\s*', message)
    if key is None:
        return " ".join(message.split())
    rest = " ".join(message[key.end() :].split())
    kinds = re.findall(r"Expected a <class '([^']+)'>", rest)
    given = re.search(r"(?:Got value|Given value): (.*)$", rest)
    flag = "--" + key["key"].removeprefix("train.").replace("_", "-")
    if kinds and given:
        return f"{flag}: expected {' or '.join(dict.fromkeys(kinds))}, got {given[1]!r}"
    return f"{flag}: {rest}"
