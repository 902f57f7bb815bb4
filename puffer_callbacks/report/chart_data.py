"""What the page's scripts draw: charts as plain data, arrays as base64."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.densities import Point, density, quartiles, spread
from puffer_callbacks.report.envelope import envelope
from puffer_callbacks.report.sections import Chart
from puffer_callbacks.report.seeds import seed_curves
from puffer_callbacks.values.vocabulary import describe, unit_of

if TYPE_CHECKING:
    from puffer_callbacks.health import Finding
    from puffer_callbacks.runs import Run

Findings = Sequence["Sequence[Finding]"]

_ALL_POINTS = 60_000  # of all charts together: about 1.5 MB of text
_FEWEST_POINTS, _MOST_POINTS = 40, 600  # of one curve; a chart is rarely wider in pixels than 600
_MOST_HISTOGRAMS, _MOST_STEPS, _BINS = 60, 80, 48
_OPEN_CHARTS = 6
_LOG_SPREAD = 100.0


def curve_sections(charts: Mapping[str, Sequence[Chart]], findings: Findings) -> list[dict[str, Any]]:
    """The sections of curves, with the findings marked in those that are their evidence.

    Args:
        charts: title to charts, as ``sections`` gives them.
        findings: of each run, in the order of the runs.
    """
    curves = sum(len(chart.series) for each in charts.values() for chart in each)
    max_points = int(np.clip(_ALL_POINTS // max(curves, 1), _FEWEST_POINTS, _MOST_POINTS))
    return [
        {
            "title": title,
            "first": _shown(title, each),
            "charts": [_curve_chart(chart, findings, max_points) for chart in each],
        }
        for title, each in charts.items()
    ]


def seeds_section(runs: Sequence[Run], tag: str = "train/reward") -> list[dict[str, Any]]:
    """The section of runs that differ in the seed alone, a curve for each group; empty where there are none."""
    found = [
        {"name": each.name, "run": each.group, "x": _encode(each.steps, np.float64)}
        | {"mean": _encode(each.mean), "low": _encode(each.low), "high": _encode(each.high)}
        for each in seed_curves(runs, tag)
    ]
    about = (
        "Interquartile mean over the runs that differ in the seed alone, and its 95 % bootstrap interval. "
        "Runs without such another are left out."
    )
    chart = {"tag": f"{tag} over seeds", "about": about, "unit": unit_of(tag), "exact": True, "curves": found}
    return [{"title": "Seeds", "first": 1, "charts": [chart]}] if found else []


def _shown(title: str, charts: Sequence[Chart]) -> int:
    """How many charts are shown before the rest, which is folded."""
    if title in ("Return quantiles", "Gradients"):
        return 0
    whole = [chart for chart in charts if title != "Plasticity" or chart.tag.count("/") == 1]  # not one layer's
    return min(len(whole), _OPEN_CHARTS)


def _curve_chart(chart: Chart, findings: Findings, max_points: int) -> dict[str, Any]:
    curves = []
    for run, (steps, values) in chart.series.items():
        short = envelope(steps, values, max_points=max_points)
        curve: dict[str, Any] = {"run": run, "x": _encode(short.steps, np.float64), "mean": _encode(short.mean)}
        if not short.is_exact:
            curve["low"], curve["high"] = _encode(short.low), _encode(short.high)
        curves.append(curve)
    return {
        "tag": chart.tag,
        "names": chart.names,
        "about": _about(chart),
        "unit": unit_of(chart.tag),
        "counts": chart.tag.startswith("health/"),  # which hold until the next verdict
        "spread": _spans_magnitudes(chart),
        "curves": curves,
        "marks": sorted(_marks(chart, findings), key=itemgetter("from")),
    }


def _about(chart: Chart) -> str:
    """The sentences below the title of a chart."""
    sentences = [_meaning(chart.tag)]
    if chart.copies:
        sentences.append(f"Also logged as {', '.join(chart.copies)}.")
    values = np.concatenate([values for _, values in chart.series.values()])
    if nonfinite := np.count_nonzero(~np.isfinite(values)):
        sentences.append(f"NaN or infinite: {nonfinite:,} of {values.size:,} values.")
    return " ".join(filter(None, sentences))


def _meaning(tag: str) -> str:
    """What the vocabulary has about a tag, empty where it is not in it."""
    description = describe(tag)
    if description is None:
        return ""
    return f"{description.meaning} Good: {description.good}." if description.good else description.meaning


def _spans_magnitudes(chart: Chart) -> bool:
    """Whether the values are positive over several orders of magnitude, so that a logarithm helps."""
    finite = np.concatenate([values[np.isfinite(values)] for _, values in chart.series.values()])
    return bool(finite.size and finite.min() > 0 and finite.max() / _LOG_SPREAD > finite.min())


def _marks(chart: Chart, findings: Findings) -> Iterator[dict[str, Any]]:
    """The findings whose evidence is in the chart: of which run, from which step to which."""
    for run in chart.series:
        for finding in findings[run] if findings else ():
            if any(evidence.tag in chart.names for evidence in finding.evidence):
                steps = {"from": finding.first_step, "to": finding.last_step}
                yield {"run": run, **steps, "severity": finding.severity, "rule": finding.rule}


def histogram_section(runs: Sequence[Run], names: Sequence[str]) -> list[dict[str, Any]]:
    """The section of histograms over time; empty where no run has any."""
    found = [(tag, place, run) for place, run in enumerate(runs) for tag in run.histograms]
    found.sort(key=lambda each: (not each[0].startswith("rollout/"), each[0], each[1]))
    charts = []
    for tag, place, run in found[:_MOST_HISTOGRAMS]:
        points = [point for point in run.histograms[tag] if point[1].count]
        if points:
            name = f"{tag} · {names[place]}" if len(runs) > 1 else tag
            charts.append({"tag": name, "about": _meaning(tag), **_histogram_chart(points)})
    note = "Color is the share of the values, lines are the quartiles; few values have a row each."
    if len(found) > _MOST_HISTOGRAMS:
        note += f" The first {_MOST_HISTOGRAMS} of {len(found)}."
    return [{"title": "Histograms", "note": note, "first": _OPEN_CHARTS, "charts": charts}] if charts else []


def _histogram_chart(points: Sequence[Point]) -> dict[str, Any]:
    chosen = spread(points, _MOST_STEPS)
    drawn = density(chosen, num_bins=_BINS)
    peak = 1.0 if drawn.values is not None else float(drawn.shares.max()) or 1.0
    darkness = np.sqrt(drawn.shares / peak)  # the tails of a narrow distribution stay visible
    chart: dict[str, Any] = {
        "steps": _encode([step for step, _ in chosen], np.float64),
        "low": float(drawn.edges[0]),
        "high": float(drawn.edges[-1]),
        "bins": drawn.shares.shape[1],
        "peak": peak,
        "shares": _encode(np.ceil(255 * darkness), np.uint8),
    }
    if drawn.values is not None:
        chart["values"] = drawn.values.tolist()
    else:
        chart["quantiles"] = [_encode(quartile) for quartile in quartiles(chosen)]
    return chart


def _encode(values: Sequence[float] | NDArray[Any], dtype: type[np.generic] = np.float32) -> str:
    """Little-endian numbers as base64."""
    with np.errstate(over="ignore"):  # what float32 cannot hold is drawn as a gap
        return base64.b64encode(np.ascontiguousarray(values, np.dtype(dtype).newbyteorder("<")).tobytes()).decode()
