"""One self-contained HTML page of a run or several: it opens without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from puffer_callbacks.plots.diagnostics import steps_label, steps_range
from puffer_callbacks.plots.scores import as_runs, run_names
from puffer_callbacks.report.chart_data import curve_sections, histogram_section, seeds_section
from puffer_callbacks.report.findings import findings_html
from puffer_callbacks.report.outcome import Outcome, outcome
from puffer_callbacks.report.pictures import pictures_html
from puffer_callbacks.report.sections import Chart, sections
from puffer_callbacks.report.seeds import looks_of, seed_groups
from puffer_callbacks.report.summary import describe_run, describe_runs
from puffer_callbacks.report.tables import DETAILS, hyperparameters_html, runs_html, split_settings, tiles_html
from puffer_callbacks.runs.sources import UNKNOWN

if TYPE_CHECKING:
    from puffer_callbacks.health import Diagnosis
    from puffer_callbacks.runs import Run

_STYLES = ("uPlot.min.css", "page.css")
_ABOUT = (
    '<p class="muted about">Curves are over {steps}. '
    "A thick line is smoothed, the thin one beside it is what was logged; "
    "where points are close, the band is from the lowest to the highest of them. "
    "Drag over a chart, or pinch it, to zoom; double-click to reset.</p>"
)
_SCRIPTS = ("uPlot.iife.min.js", "zoom.js", "charts.js", "page.js")


def report(
    runs: Run | Iterable[Run],
    out: str | os.PathLike[str],
    *,
    diagnoses: Sequence[Diagnosis] | None = None,
    tags: str | Sequence[str] | None = None,
) -> Path:
    """Write the page of one run, or of several overlaid.

    Args:
        runs: one run or several.
        out: the HTML file; its folder is made where it is missing.
        diagnoses: of each run, in the order of the runs; ``None`` where no rule was asked.
        tags: only these curves, or those that match patterns such as ``train/*``.

    Returns:
        The path of the page.

    Raises:
        ValueError: if there is no run or another number of diagnoses, one of ``tags`` matches nothing, or the page
            cannot be written.

    Example:
        ``report(run := read_run("runs/exp1"), "report.html", diagnoses=[diagnose_run(run)])``
    """
    given = as_runs(runs)
    if not given:
        raise ValueError("report: expected at least one run, got none")
    if diagnoses is not None and len(diagnoses) != len(given):
        raise ValueError(f"diagnoses: expected one for each run, {len(given)} in all, got {len(diagnoses)}")
    path = Path(out).expanduser()
    page = render(given, diagnoses, tags)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"out: expected a file that can be written, got {str(path)!r} ({reason})") from None
    return path


def render(
    runs: Sequence[Run], diagnoses: Sequence[Diagnosis] | None = None, tags: str | Sequence[str] | None = None
) -> str:
    """The page as one HTML document; the arguments are those of ``report``."""
    names = run_names(runs)
    outcomes = [outcome(run, name) for run, name in zip(runs, names, strict=True)]
    looks, legend = looks_of(runs)
    curves = sections(runs, tags)
    charts = [
        *(seeds_section(runs) if _has(curves, "train/reward") else ()),
        *curve_sections(curves, [diagnosis.findings for diagnosis in diagnoses or ()]),
        *(histogram_section(runs, names) if tags is None else ()),
    ]
    data = {"runs": names, "looks": looks, "legend": legend, "range": steps_range(runs), "steps": steps_label(runs)}
    return Template(_asset("page.html")).substitute(
        title=escape(names[0] if len(runs) == 1 else f"{len(runs)} runs"),
        eyebrow=escape(_eyebrow(runs)),
        summary=escape(_summary(runs, outcomes, diagnoses)),
        overview=tiles_html(outcomes[0]) if len(runs) == 1 else runs_html(outcomes, diagnoses, looks),
        findings=findings_html(diagnoses, names),
        about=_ABOUT.format(steps=escape(steps_label(runs))) if charts else "",
        pictures=pictures_html(runs, names),
        settings=hyperparameters_html(runs, names),
        footer=_footer(runs),
        data=json.dumps(data | {"sections": charts}, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        styles="".join(_asset(name) for name in _STYLES),
        scripts="\n".join(_asset(name) for name in _SCRIPTS),
    )


def _has(curves: Mapping[str, Sequence[Chart]], tag: str) -> bool:
    return any(chart.tag == tag for charts in curves.values() for chart in charts)


def _eyebrow(runs: Sequence[Run]) -> str:
    libraries = dict.fromkeys(run.source for run in runs if run.source != UNKNOWN.name)
    return "Run report" + (f" · {', '.join(libraries)}" if libraries else "")


def _summary(runs: Sequence[Run], outcomes: Sequence[Outcome], diagnoses: Sequence[Diagnosis] | None) -> str:
    if len(outcomes) == 1:
        return describe_run(outcomes[0], None if diagnoses is None else diagnoses[0])
    differing = split_settings(runs)[0]
    differing = [name for name in differing if not name.startswith(DETAILS)] or differing
    of_run = dict(zip(runs, outcomes, strict=True))
    groups = {name: [of_run[run] for run in members] for name, members in seed_groups(runs).items()}
    return describe_runs(outcomes, differing, diagnoses, groups)


def _footer(runs: Sequence[Run]) -> str:
    paths = ", ".join(f"<code>{escape(str(run.path))}</code>" for run in runs[:20])
    problems = "".join(f"<br>Not read: {escape(problem)}" for run in runs for problem in run.contents.problems[:5])
    return f"Read from {paths}.{problems}<br>Written by puffer_callbacks; charts by uPlot (MIT license)."


@cache
def _asset(name: str) -> Any:
    return files("puffer_callbacks.report").joinpath("assets", name).read_text(encoding="utf-8")
