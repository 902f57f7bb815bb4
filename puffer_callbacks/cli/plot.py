"""``puffer-callbacks plot``: a run, or several, as one HTML page."""

import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from puffer_callbacks.cli.parser import CommandParser
from puffer_callbacks.report import report, save_figures
from puffer_callbacks.runs import Run, diagnose_run, read_run, read_runs


def main(argv: Sequence[str]) -> int:
    """Run ``plot``.

    Args:
        argv: the arguments after ``plot``.

    Returns:
        The exit status: 0, or 2 for bad input.

    Example:
        >>> main(["no/such/folder"])
        2
    """
    try:
        return _plot(_parser().parse(argv))
    except (ImportError, OSError, ValueError) as error:
        print(f"puffer-callbacks: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="puffer-callbacks plot",
        description="Write a run, or several overlaid, as one HTML page that opens without a network.",
        epilog="Example: puffer-callbacks plot runs/exp1 runs/exp2 --out report.html",
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="file or folder of a run, or a pattern such as 'runs/*'")
    parser.add_argument("--out", default="report.html", help="the page (default: report.html)")
    parser.add_argument("--tags", nargs="+", metavar="TAG", help="only these curves; patterns such as 'train/*' work")
    parser.add_argument("--figures", metavar="DIR", help="save each figure as PNG and PDF in this folder too")
    return parser


def _plot(options: Namespace) -> int:
    runs = [run for log in options.logs for run in _read(log)]
    page = report(runs, options.out, tags=options.tags, findings=[diagnose_run(run).findings for run in runs])
    print(f"Report: {page}")
    if options.figures is not None:
        files = save_figures(runs, options.figures, tags=options.tags)
        print(f"Figures: {len(files)} files in {options.figures}")
    return 0


def _read(log: str) -> list[Run]:
    """One run from a file, or all that are in a folder or match a pattern."""
    return [read_run(log)] if Path(log).is_file() else read_runs(log)
