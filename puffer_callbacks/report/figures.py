"""Every figure of a report as PNG and PDF."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from puffer_callbacks import plots
from puffer_callbacks.plots.diagnostics import draw_panel, has_curve
from puffer_callbacks.plots.scores import as_runs, run_names, series
from puffer_callbacks.plots.style import add_figure_legend, figure_of, legend_height, new_axes
from puffer_callbacks.report.sections import sections
from puffer_callbacks.report.seeds import seed_groups

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from puffer_callbacks.runs import Run

_FORMATS = ("png", "pdf")
_DPI = 160
_LONGEST = 150
"""Bytes of a file's name; most file systems end at 255."""


def save_figures(
    runs: Run | Iterable[Run], folder: str | os.PathLike[str], *, tags: str | Sequence[str] | None = None
) -> list[Path]:
    """Save each curve, the overview and the histograms as PNG and PDF.

    Args:
        runs: one run or several; several are overlaid, and those that differ in the seed alone are compared by their
            interquartile mean.
        folder: made where it is missing.
        tags: only these curves, or those that match patterns such as ``train/*``.

    Returns:
        The files, two for each figure.

    Raises:
        ValueError: if one of ``tags`` matches nothing, or the folder cannot be written.
        ImportError: if matplotlib is not installed; the message names the extra.

    Example:
        ``save_figures(read_runs("runs/*"), "figures", tags="train/*")``
    """
    target = Path(folder).expanduser()
    saved: list[Path] = []
    for name, figure in _figures(as_runs(runs), tags):
        stem = _file_name(name, {path.stem.lower() for path in saved})
        try:
            target.mkdir(parents=True, exist_ok=True)
            for kind in _FORMATS:
                saved.append(target / f"{stem}.{kind}")
                figure.savefig(saved[-1], dpi=_DPI)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ValueError(
                f"figures: expected a folder that can be written, got {str(folder)!r} ({reason})"
            ) from None
    return saved


def _file_name(name: str, taken: Container[str]) -> str:
    """A name that every file system takes, and no other figure has."""
    plain = re.sub(r"[^\w.=+-]+", "_", name).strip("._") or "figure"
    plain = plain.encode()[:_LONGEST].decode(errors="ignore")
    found, number = plain, 1
    while found.lower() in taken:
        number += 1
        found = f"{plain}_{number}"
    return found


def _figures(runs: Sequence[Run], tags: str | Sequence[str] | None) -> Iterator[tuple[str, Figure]]:
    """Name and figure, one after the other, so that one at a time is in memory."""
    shown = [chart.tag for charts in sections(runs, tags).values() for chart in charts]
    if tags is None and any(has_curve(run, tag) for run in runs for tag in plots.PANELS):
        yield "diagnostics", plots.diagnostics(runs)
    rewarded = [run for run in runs if has_curve(run, "train/reward")]
    if "train/reward" in shown and (compared := _compared(rewarded)):
        yield "compare_train_reward", plots.compare(compared, "train/reward")
    names = run_names(runs)
    for tag in shown:
        ax = new_axes(size=(6.0, 3.7 + legend_height(names, 6.0)))
        draw_panel(ax, runs, tag)
        if len(runs) > 1:
            add_figure_legend([ax])
        if ax.lines:
            yield tag, figure_of(ax)
    if tags is None:
        yield from _histogram_figures(runs, names)


def _compared(runs: Sequence[Run]) -> Sequence[Run] | Mapping[str, Sequence[Run]]:
    """The groups that differ in the seed alone, all runs where no log has its settings; with steps in common."""
    groups = seed_groups(runs)
    if not groups and len(runs) > 1 and not any(run.hyperparameters for run in runs):
        groups = {"runs": list(runs)}
    shown = {name: members for name, members in groups.items() if _have_steps_in_common(members)}
    return next(iter(shown.values()), []) if len(groups) == 1 else shown


def _have_steps_in_common(runs: Sequence[Run]) -> bool:
    ranges = [series(run, "train/reward")[0][[0, -1]] for run in runs]
    return bool(max(first for first, _ in ranges) <= min(last for _, last in ranges))


def _histogram_figures(runs: Sequence[Run], names: Sequence[str]) -> Iterator[tuple[str, Figure]]:
    for run, run_name in zip(runs, names, strict=True):
        for tag, points in run.histograms.items():
            filled = [point for point in points if point[1].count]
            if filled:
                name = f"{tag}_{run_name}" if len(runs) > 1 else tag
                yield f"{name}_heatmap", plots.histogram_heatmap(filled, title=tag)
                yield f"{name}_ridges", plots.histogram_ridges(filled, title=tag)
