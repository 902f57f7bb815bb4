"""``puffer-callbacks diagnose``: what is wrong with runs that were logged."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import Any

from puffer_callbacks.cli.parser import CommandParser
from puffer_callbacks.cli.read_logs import read_logs
from puffer_callbacks.health import Diagnosis
from puffer_callbacks.health.panel import panel
from puffer_callbacks.runs import Run, diagnose_run
from puffer_callbacks.runs.sources import OURS
from puffer_callbacks.values.terminal import terminal_width

_LACKS_MEASURES = re.compile(r"\b(diagnostics|plasticity|gradient_norm|update_ratio|old_gradients)/(?!.*has [1-9])")
_OTHER_LOG = "need what callbacks measure in the training loop: add default_callbacks, or the adapter of your trainer"


def main(argv: Sequence[str]) -> int:
    """Run ``diagnose``.

    Args:
        argv: the arguments after ``diagnose``.

    Returns:
        The exit status: 0 if nothing was found, 1 for a warning or a critical finding, 2 if a log cannot be read.

    Raises:
        UsageError: for bad options.

    Example:
        >>> main(["no/such/folder"])
        2
    """
    options = _parser().parse(argv)
    runs, errors = read_logs(options.logs)
    judged = [(run, diagnose_run(run)) for run in runs]
    if options.json:
        print(json.dumps({"runs": [_as_json(run, diagnosis) for run, diagnosis in judged]}, indent=2))
    elif judged:
        print("\n\n".join("\n".join(_as_text(run, diagnosis)) for run, diagnosis in judged))
    for error in errors:
        print(f"puffer-callbacks: error: {error}", file=sys.stderr)
    return 2 if errors else int(any(_alarms(diagnosis) for _, diagnosis in judged))


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="puffer-callbacks diagnose",
        description="Find what is wrong with a run, the likely causes, and what to change. Reads TensorBoard, W&B "
        "offline, CSV and JSON logs of many libraries.",
        epilog="Exit status: 0 if nothing was found, 1 for a warning or a critical finding, 2 if a log cannot be read. "
        "Example: puffer-callbacks diagnose runs/exp1 --json",
    )
    parser.add_argument("logs", nargs="+", metavar="LOG", help="file or folder of a run, or a pattern such as 'runs/*'")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _alarms(diagnosis: Diagnosis) -> int:
    return sum(finding.severity != "info" for finding in diagnosis.findings)


def _as_json(run: Run, diagnosis: Diagnosis) -> dict[str, Any]:
    return {
        "path": str(run.path),
        "source": run.source,
        "steps": run.last_step,
        **diagnosis.to_dict(),
        "problems": run.problems,
    }


def _as_text(run: Run, diagnosis: Diagnosis) -> Iterator[str]:
    yield f"{run.path}: {run.last_step:,} {run.x_axis.replace('_', ' ')}, logged by {run.source}"
    yield from (f"  could not be read: {problem}" for problem in run.contents.problems)
    yield from (f"  {again}" for again in run.left_out)
    yield from (panel(finding, width=terminal_width()) for finding in diagnosis.findings)
    found = f"{len(diagnosis.findings)} found" if diagnosis.findings else "Nothing found"
    of_rules = f"by {len(diagnosis.judged)} of {len(diagnosis.judged) + len(diagnosis.not_judged)} rules"
    yield f"{found} {of_rules}.{' The others could not be judged:' if diagnosis.not_judged else ''}"
    reasons: dict[str, list[str]] = {}
    for rule, reason in diagnosis.not_judged.items():
        reasons.setdefault(_in_short(reason, run.source), []).append(rule)
    for reason, rules in reasons.items():
        yield from wrap(f"  {', '.join(rules)}: {reason}", terminal_width(), subsequent_indent="    ")


def _in_short(reason: str, source: str) -> str:
    """A reason; one for all statistics that the log of another library cannot have."""
    return _OTHER_LOG if source != OURS and _LACKS_MEASURES.search(reason) else reason
