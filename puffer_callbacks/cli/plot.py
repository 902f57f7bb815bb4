"""``puffer-callbacks plot``: a run, or several, as one HTML page."""

import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path

from puffer_callbacks.cli.parser import CommandParser, file_path, usage_errors
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
        with usage_errors():
            _plot(runs, options)
    return 2 if errors else 0


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="puffer-callbacks plot",
        description="Write a run, or several overlaid, as one HTML page that opens without a network.",
        epilog="Exit status: 0, or 2 if a log cannot be read. "
        "Example: puffer-callbacks plot runs/exp1 runs/exp2 --out report.html",
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="file or folder of a run, or a pattern such as 'runs/*'")
    page = "the page (default: %(default)s)"
    parser.add_argument("--out", type=_page, metavar="FILE", default="report.html", help=page)
    parser.add_argument("--tags", nargs="+", metavar="TAG", help="only these curves; patterns such as 'train/*' work")
    parser.add_argument(
        "--figures", type=file_path, metavar="DIR", help="save each figure as PNG and PDF in this folder too"
    )
    return parser


def _page(text: str) -> str:
    if Path(text).suffix.lower() in (".pdf", ".png", ".svg"):
        raise ArgumentTypeError(f"expected an HTML file such as report.html, got {text!r}; --figures saves PNG and PDF")
    return file_path(text)


def _plot(runs: Sequence[Run], options: Namespace) -> None:
    page = report(runs, options.out, tags=options.tags, diagnoses=[diagnose_run(run) for run in runs])
    print(f"Report: {page}")
    if options.figures is not None:
        files = save_figures(runs, options.figures, tags=options.tags)
        print(f"Figures: {len(files)} files in {options.figures}")
