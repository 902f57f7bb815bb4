"""The command line: one table of commands, each imported when it is called."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version

from puffer_callbacks.cli.parser import UsageError, near

COMMANDS = {
    "train": ("puffer_callbacks.cli.train", "train PPO on a Gymnasium environment"),
    "diagnose": ("puffer_callbacks.cli.diagnose", "find what is wrong with a run, and what to change"),
    "watch": ("puffer_callbacks.cli.watch", "follow and diagnose a run of any library while it trains"),
    "plot": ("puffer_callbacks.cli.plot", "make one page of a run, or of several beside each other"),
}
"""Name to the module and what it does; ``main(argv) -> int`` of the module runs the command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: the arguments; those of the process where ``None``.

    Returns:
        The exit status: 0, that of the command, 2 for bad input, 130 after Ctrl-C, or 141 where
        the output is closed, as by ``| head``.

    Example:
        >>> main(["train", "--env", "CartPol"])
        2
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            return _run(argv)
        finally:
            print(end="", flush=True)  # a reader that has gone is noticed here
    except UsageError as error:
        print(f"puffer-callbacks: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("puffer-callbacks: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what Python flushes at its end goes nowhere
        return 141


def _run(argv: list[str]) -> int:
    if argv[:1] in (["-h"], ["--help"]):
        print(_help())
        return 0
    if argv[:1] == ["--version"]:
        print(f"puffer_callbacks {version('puffer_callbacks')}")
        return 0
    if not argv or argv[0] not in COMMANDS:
        given = f"got {argv[0]!r}{near(argv[0], COMMANDS)}" if argv else "got none"
        raise UsageError(f"expected a command, {' or '.join(COMMANDS)}, {given} (see puffer-callbacks --help)")
    status: int = import_module(COMMANDS[argv[0]][0]).main(argv[1:])
    return status


def _help() -> str:
    rows = [f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items()]
    usage = "usage: puffer-callbacks COMMAND …\n\nTrain, and see what the run is doing.\n\ncommands:\n"
    ends = ("Options of a command: puffer-callbacks COMMAND --help", "Version: puffer-callbacks --version")
    return usage + "\n".join((*rows, "", *ends))
