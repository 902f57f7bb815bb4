"""One self-contained HTML page of a run or several: it opens without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from puffer_callbacks.plots.diagnostics import steps_label, steps_range
from puffer_callbacks.plots.scores import as_runs, run_names
from puffer_callbacks.report.chart_data import curve_sections, histogram_section
from puffer_callbacks.report.findings import findings_html
from puffer_callbacks.report.outcome import Outcome, outcome
from puffer_callbacks.report.pictures import pictures_html
from puffer_callbacks.report.sections import sections
from puffer_callbacks.report.summary import describe_run, describe_runs
from puffer_callbacks.report.tables import DETAILS, hyperparameters_html, runs_html, split_settings, tiles_html

if TYPE_CHECKING:
    from puffer_callbacks.health import Finding
    from puffer_callbacks.runs import Run

_STYLES = ("uPlot.min.css", "page.css")
_SCRIPTS = ("uPlot.iife.min.js", "zoom.js", "charts.js", "page.js")


def report(
    runs: Run | Iterable[Run],
    out: str | os.PathLike[str],
    *,
    findings: Sequence[Sequence[Finding]] | None = None,
    tags: str | Sequence[str] | None = None,
) -> Path:
    """Write the page of one run, or of several overlaid.

    Args:
        runs: one run or several.
        out: the HTML file; its folder is made where it is missing.
        findings: of each run, in the order of the runs; ``None`` where no rule was asked.
        tags: only these curves, or those that match patterns such as ``train/*``.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there is no run or another number of findings, one of ``tags`` matches nothing, or the page
            cannot be written.

    Example:
        ``report(read_run("runs/exp1"), "report.html")``
    """
    given = as_runs(runs)
    if not given:
        raise ValueError("report: expected at least one run, got none")
    if findings is not None and len(findings) != len(given):
        raise ValueError(f"findings: expected one list for each of {len(given)} runs, got {len(findings)}")
    path = Path(out).expanduser()
    page = render(given, findings, tags)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"out: expected a file that can be written, got {str(path)!r} ({reason})") from None
    return path


def render(
    runs: Sequence[Run], findings: Sequence[Sequence[Finding]] | None = None, tags: str | Sequence[str] | None = None
) -> str:
    """The page as one HTML document; the arguments are those of ``report``."""
    names = run_names(runs)
    outcomes = [outcome(run, name) for run, name in zip(runs, names, strict=True)]
    charts = [
        *curve_sections(sections(runs, tags), findings or ()),
        *(histogram_section(runs, names) if tags is None else ()),
    ]
    data = {"runs": names, "range": steps_range(runs), "steps": steps_label(runs), "sections": charts}
    return Template(_asset("page.html")).substitute(
        title=escape(names[0] if len(runs) == 1 else f"{len(runs)} runs"),
        eyebrow=escape("Run report · " + ", ".join(dict.fromkeys(run.source for run in runs))),
        summary=escape(_summary(outcomes, split_settings(runs)[0], findings)),
        overview=tiles_html(outcomes[0]) if len(runs) == 1 else runs_html(outcomes, findings),
        findings=findings_html(findings, names),
        pictures=pictures_html(runs, names),
        settings=hyperparameters_html(runs, names),
        footer=_footer(runs),
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        styles="".join(_asset(name) for name in _STYLES),
        scripts="\n".join(_asset(name) for name in _SCRIPTS),
    )


def _summary(
    outcomes: Sequence[Outcome], differing: Sequence[str], findings: Sequence[Sequence[Finding]] | None
) -> str:
    if len(outcomes) == 1:
        return describe_run(outcomes[0], None if findings is None else findings[0])
    return describe_runs(outcomes, [name for name in differing if not name.startswith(DETAILS)] or differing, findings)


def _footer(runs: Sequence[Run]) -> str:
    paths = ", ".join(f"<code>{escape(str(run.path))}</code>" for run in runs[:20])
    problems = "".join(f"<br>Not read: {escape(problem)}" for run in runs for problem in run.contents.problems[:5])
    hint = "Drag over a curve to zoom, double-click to reset."
    return f"Read from {paths}. {hint}{problems}<br>Written by puffer_callbacks; charts by uPlot (MIT license)."


@cache
def _asset(name: str) -> Any:
    return files("puffer_callbacks.report").joinpath("assets", name).read_text(encoding="utf-8")
