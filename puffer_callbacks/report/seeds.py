"""Runs that differ in the seed alone: their returns as one curve, with the band that few runs allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.scores import curves, run_names
from puffer_callbacks.plots.statistics import bootstrap_interval, interquartile_mean
from puffer_callbacks.report.tables import setting_text, split_settings

if TYPE_CHECKING:
    from puffer_callbacks.runs import Run

Array = NDArray[np.float64]
_MOST_NAMED = 3
_SEEDS = ("seed", "run_name")
"""The last parts of the hyperparameters that may differ within a group."""


@dataclass(frozen=True, eq=False)
class SeedCurve:
    """The interquartile mean over a group of runs.

    Args:
        group: its place among the groups.
        name: what distinguishes the group, and the number of its runs.
        steps: [S], those that all its runs cover.
        mean: [S].
        low: [S], the lower bound of the bootstrap interval.
        high: [S], the upper one.
    """

    group: int
    name: str
    steps: Array
    mean: Array
    low: Array
    high: Array


def seed_groups(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Name to runs of the same settings, at least two; a run whose log has no settings is in no group.

    A group is named by the settings that distinguish it, or by its runs where those are many.

    Example:
        ``list(seed_groups(read_runs("runs/*")))`` is ``["learning_rate = 0.0003", "learning_rate = 0.0025"]``
    """
    known = [(run, name) for run, name in zip(runs, run_names(runs), strict=True) if run.hyperparameters]
    settings = _distinguishing([run for run, _ in known])
    groups: dict[tuple[str, ...], list[tuple[Run, str]]] = {}
    for run, name in known:
        values = tuple(f"{name} = {setting_text(run.hyperparameters.get(name))}" for name in settings)
        groups.setdefault(values, []).append((run, name))
    return {
        _label(values, [name for _, name in members]): [run for run, _ in members]
        for values, members in groups.items()
        if len(members) > 1
    }


def looks_of(runs: Sequence[Run]) -> tuple[list[int], list[tuple[str, int]]]:
    """How the curves of each run are drawn, and what the legend of the page names.

    Where there are several groups, the runs of one look alike, so that groups are compared at a glance.

    Returns:
        The number of the look of each run; and name and look of each group and of each run that is in none.
    """
    groups = {f"{name} ({len(members)})": members for name, members in seed_groups(runs).items()}
    if len(groups) < 2:
        groups = {}
    grouped = {run for members in groups.values() for run in members}
    alone = [(name, [run]) for name, run in zip(run_names(runs), runs, strict=True) if run not in grouped]
    alike = [*groups.items(), *alone]
    look = {run: place for place, (_, members) in enumerate(alike) for run in members}
    return [look[run] for run in runs], [(name, place) for place, (name, _) in enumerate(alike)]


def _label(values: Sequence[str], names: Sequence[str]) -> str:
    return ", ".join(values if len(values) <= _MOST_NAMED else names) or "same settings"


def _distinguishing(runs: Sequence[Run]) -> list[str]:
    """The settings that differ, beside the seed; of several with the same values, as optimizer/lr, the first."""
    differing = [
        name
        for name in split_settings(runs)[0]
        if name.rpartition("/")[2] not in _SEEDS and not name.startswith("trainer/")
    ]
    columns: dict[tuple[str, ...], str] = {}
    for name in differing:
        columns.setdefault(tuple(setting_text(run.hyperparameters.get(name)) for run in runs), name)
    return list(columns.values())


def seed_curves(runs: Sequence[Run], tag: str) -> Iterator[SeedCurve]:
    """The curve of each group; one whose runs lack the tag, or have no steps in common, is left out."""
    for place, (name, members) in enumerate(seed_groups(runs).items()):
        with suppress(ValueError):
            steps, scores = curves(members, tag)
            low, high = bootstrap_interval(interquartile_mean, scores)
            label = f"{name} ({len(members)})"
            yield SeedCurve(place, label, steps, interquartile_mean(scores), low, high)
