"""Which series a page shows, in which order: what people look at first comes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.scores import unknown
from puffer_callbacks.runs.order import ordered
from puffer_callbacks.runs.sources import source_of
from puffer_callbacks.values.tags import as_names
from puffer_callbacks.values.vocabulary import LOSSES, describe

if TYPE_CHECKING:
    from puffer_callbacks.runs import Run
    from puffer_callbacks.runs.aliases import Series

SECTIONS = {
    "Returns": (
        "train/reward",
        "train/episode_length",
        "rollout/success_rate",
        "eval/*",
        "evaluation/*",
        "rollout/return_mean",
        "rollout/episode_*",
    ),
    "Policy and critic": (
        "train/entropy",
        "diagnostics/approx_kl",
        "diagnostics/clip_fraction",
        "diagnostics/explained_variance",
        "train/value_loss",
        "train/q_values",
        "train/std",
        "rollout/exploration_rate",
        "train/epsilon",
        "train/ent_coef",
    ),
    "Optimization": (
        "train/loss",
        "train/policy_loss",
        "train/learning_rate",
        "gradient_norm/total",
        "train/*",
        "losses/*",
        "diagnostics/*",
    ),
    "Rewards and environment": ("rollout/info/*", "environment/*", "env/*"),
    "Plasticity": (
        "plasticity/dormant_ratio",
        "plasticity/saturated_ratio",
        "plasticity/effective_rank",
        "plasticity/feature_norm",
        "plasticity/weight_norm",
        "plasticity/*",
    ),
    "Speed": ("throughput/sps", "logging/*"),
    "Return quantiles": ("rollout/return_median", "rollout/return_*"),
    "Gradients": ("gradient_norm/*", "gradient_noise_scale", "update_ratio/*", "old_gradients/*"),
    "Health": ("health/*", "nonfinite/*"),
}
"""Title of a section to the tags in it; a tag is in the first that fits.

Others that share their first part, as ``loss/a`` and ``loss/b``, have a section of that name; the rest is ``Other``.
"""

_SAME = {
    "rollout/return_mean": "train/reward",
    "rollout/episode_length_mean": "train/episode_length",
    **{grouped: f"train/{name}" for name, (grouped, _) in LOSSES.items()},
}
"""Tags that are another one by definition, also where the numbers alone would not show it."""

_HIDDEN = ("time/*", "axes/*")  # the x axis itself


@dataclass
class Chart:
    """One chart: a tag and its series in each run.

    Args:
        tag: our name for it, or the run's own where there is none.
        series: place of the run to its series.
        copies: further tags with the same numbers, or with the same numbers below zero.
    """

    tag: str
    series: dict[int, Series] = field(default_factory=dict)
    copies: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """The tag, its copies, and its name among the grouped losses, by which the health rules call it."""
        group, _, name = self.tag.partition("/")
        grouped = [LOSSES[name][0]] if group == "train" and name in LOSSES else []
        return list(dict.fromkeys([self.tag, *self.copies, *grouped]))


def sections(runs: Sequence[Run], tags: str | Sequence[str] | None = None) -> dict[str, list[Chart]]:
    """Title of a section to its charts, without the empty ones.

    Args:
        runs: at least one.
        tags: only these, or those that match patterns such as ``train/*``.

    Raises:
        ValueError: if one of ``tags`` matches nothing; the message offers near names.

    Example:
        ``sections([read_run("runs/exp1")])["Returns"][0].tag`` is ``"train/reward"``
    """
    charts = [chart for chart in _charts(runs).values() if not _matches([chart.tag], _HIDDEN)]
    patterns = as_names(tags)
    for pattern in patterns:
        if not any(_matches(chart.names, [pattern]) for chart in charts):
            raise unknown("tags", pattern, [name for chart in charts for name in chart.names], "curves")
    shown = charts if tags is None else [chart for chart in charts if _matches(chart.names, patterns)]
    groups = Counter(_group(chart.tag) for chart in shown)
    titled = [(_title(chart.tag, groups), chart) for chart in shown]
    found: dict[str, list[Chart]] = {}
    for title, chart in sorted(titled, key=lambda pair: (_place(pair[1].tag), pair[0] == "Other", pair[1].tag)):
        found.setdefault(title, []).append(chart)
    return found


def _group(tag: str) -> str:
    """The first part of a tag that is in no section, by which TensorBoard groups it; empty where it has one part."""
    return tag.rpartition("/")[0].partition("/")[0] if _place(tag)[0] == len(SECTIONS) else ""


def _title(tag: str, groups: Mapping[str, int]) -> str:
    """The section of a tag, by how many tags each group has."""
    group = _group(tag)
    return group if group and groups[group] > 1 else [*SECTIONS, "Other"][_place(tag)[0]]


def _charts(runs: Sequence[Run]) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    for place, run in enumerate(runs):
        for tag, (points, copies) in _distinct(run).items():
            chart = charts.setdefault(tag, Chart(tag))
            chart.series[place] = points
            chart.copies += [copy for copy in copies if copy not in chart.copies]
    return charts


def _distinct(run: Run) -> dict[str, tuple[Series, list[str]]]:
    """Each series once, under its first name, with its further names; the steps themselves are left out."""
    named = {**run.canonical, **{tag: run.series(tag) for tag in run.tags if tag not in run.canonical}}
    found: dict[str, tuple[Series, list[str]]] = {}
    same: dict[bytes, list[str]] = {}
    source = source_of(run.tags)
    for tag in sorted(named, key=lambda tag: (tag not in run.canonical, *_place(tag), tag)):
        steps, values = ordered(named[tag])
        is_known = tag in run.canonical  # a return may equal its step, as both are 0 in a first row
        if not is_known and len(steps) > 1 and np.array_equal(steps, values):
            continue
        twins = same.setdefault(steps.tobytes() + np.abs(values).tobytes(), [])
        ours = tag if tag in run.canonical else next(iter(source.translate({tag: named[tag]})), tag)
        first = next((twin for twin in twins if twin in (ours, _SAME.get(ours)) or _is_copy(ours, twin, values)), None)
        if first is None:
            twins.append(tag)
            found[tag] = (steps, values), []
        else:
            found[first][1].append(tag)
    return found


def _is_copy(tag: str, twin: str, values: NDArray[np.float64]) -> bool:
    """Whether two tags of the same numbers mean the same; constants, gaps and other units may agree by chance."""
    finite = values[np.isfinite(values)]
    if not finite.size or np.all(finite == finite[0]):
        return False
    description, other = describe(tag), describe(twin)
    return description is None or (other is not None and description.unit == other.unit)


def _place(tag: str) -> tuple[int, int]:
    """Section and place in it, for sorting."""
    for section, patterns in enumerate(SECTIONS.values()):
        for place, pattern in enumerate(patterns):
            if fnmatch(tag, pattern):
                return section, place
    return len(SECTIONS), 0


def _matches(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatch(name, pattern) for name in names for pattern in patterns)
