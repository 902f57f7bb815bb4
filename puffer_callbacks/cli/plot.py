"""``puffer-callbacks plot``: a run, or several, as one HTML page."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from puffer_callbacks.cli.parser import CommandParser, UsageError
from puffer_callbacks.cli.read_logs import read_logs
from puffer_callbacks.report import report, save_figures
from puffer_callbacks.runs import Run, diagnose_run


def main(argv: Sequence[str]) -> int:
    """Run ``plot``. What cannot be read is named, and the page is made of the others.

    Args:
        argv: the arguments after ``plot``.

    Returns:
        The exit status: 0, or 2 if a log cannot be read.

    Raises:
        UsageError: for bad options.

    Example:
        >>> main(["no/such/folder"])
        2
    """
    options = _parser().parse(argv)
    runs, errors = read_logs(options.logs)
    for error in errors:
        print(f"puffer-callbacks: error: {error}", file=sys.stderr)
    if runs:
        try:
            _plot(runs, options)
        except (ImportError, ValueError) as error:
            raise UsageError(" ".join(str(error).split())) from error
    return 2 if errors else 0


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="puffer-callbacks plot",
        description="Write a run, or several overlaid, as one HTML page that opens without a network.",
        epilog="Exit status: 0, or 2 if a log cannot be read. "
        "Example: puffer-callbacks plot runs/exp1 runs/exp2 --out report.html",
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="file or folder of a run, or a pattern such as 'runs/*'")
    parser.add_argument("--out", default="report.html", help="the page (default: report.html)")
    parser.add_argument("--tags", nargs="+", metavar="TAG", help="only these curves; patterns such as 'train/*' work")
    parser.add_argument("--figures", metavar="DIR", help="save each figure as PNG and PDF in this folder too")
    return parser


def _plot(runs: Sequence[Run], options: Namespace) -> None:
    page = report(runs, options.out, tags=options.tags, findings=[diagnose_run(run).findings for run in runs])
    print(f"Report: {page}")
    if options.figures is not None:
        files = save_figures(runs, options.figures, tags=options.tags)
        print(f"Figures: {len(files)} files in {options.figures}")
