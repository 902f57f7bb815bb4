"""From runs to arrays of scores: groups of runs, curves on common steps, final scores."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.runs.order import ordered
from puffer_callbacks.runs.run import Run
from puffer_callbacks.values.text import plain_setting

Groups = Mapping[str, "Sequence[Run]"]


def as_runs(runs: Run | Iterable[Run]) -> list[Run]:
    """One run, or several, as a list.

    Raises:
        TypeError: if one is none, such as a path that is not read yet.
    """
    listed = [runs] if isinstance(runs, Run | str | os.PathLike) else list(runs)
    for run in listed:
        if not isinstance(run, Run):
            raise TypeError(f"runs: expected runs as read_run and read_runs return them, got {run!r}")
    return listed


def group_runs(runs: Run | Iterable[Run] | Groups, by: str | None = None) -> dict[str, list[Run]]:
    """Runs by a hyperparameter, or all in one group; runs that are grouped already stay so.

    Args:
        runs: the runs of one group, or name to runs.
        by: a hyperparameter, such as ``learning_rate`` or ``ppo/learning_rate``.

    Raises:
        ValueError: if there is no run, or a run lacks the hyperparameter; the message offers near names.
    """
    if isinstance(runs, Mapping):
        groups = {name: as_runs(members) for name, members in runs.items()}
    elif by is None:
        listed = as_runs(runs)
        groups = {f"{len(listed)} runs" if len(listed) > 1 else "run": listed}
    else:
        groups = {}
        listed = as_runs(runs)
        values = [plain_setting(hyperparameter(run, by)) for run in listed]
        named = zip(values, _value_names(values), listed, strict=True)
        for _, name, run in sorted(named, key=lambda each: _order(each[0])):
            groups.setdefault(f"{by} = {name}", []).append(run)
    if not groups or not all(groups.values()):
        raise ValueError(f"runs: expected at least one run in each group, got {groups or 'none'}")
    return groups


def hyperparameter(run: Run, name: str) -> object:
    """The value of a hyperparameter by its full name, or by its last part where only one ends so.

    Raises:
        ValueError: if there is none of that name; the message offers near names.
    """
    settings = run.hyperparameters
    ending = [full for full in settings if full == name or full.endswith(f"/{name}")]
    if name in settings or len(ending) == 1:
        return settings[name if name in settings else ending[0]]
    raise unknown("hyperparameter", name, ending or settings, "hyperparameters")


def run_names(runs: Sequence[Run]) -> list[str]:
    """A distinct name for each run: the one that its files hold, as W&B's do, else that of its file or folder."""
    paths = _path_names(runs)
    names = [" ".join(run.contents.name.split()) or path for run, path in zip(runs, paths, strict=True)]
    times = Counter(names)
    return [name if times[name] == 1 else f"{name} ({path})" for name, path in zip(names, paths, strict=True)]


def _path_names(runs: Sequence[Run]) -> list[str]:
    """The file or folder of each run, with as much of the path as makes it distinct."""
    paths = [run.path.resolve() for run in runs]
    plain = [path.with_suffix("") if path.is_file() else path for path in paths]
    if len(plain) == 1 and re.fullmatch(r"version_\d+", plain[0].name):  # Lightning's, which names nothing by itself
        return ["/".join(plain[0].parts[-2:])]
    if len({path.name for path in plain}) == len(plain):
        return [path.name for path in plain]
    distinct = plain if len(set(plain)) == len(plain) else paths
    shared = Path(os.path.commonpath([path.parent for path in distinct]))
    names = [path.relative_to(shared).as_posix() for path in distinct]
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return names


def unknown(argument: str, name: str, known: Collection[str], kind: str) -> ValueError:
    """The error for a name that a run does not have: with known ones that resemble it, or the first few of all.

    Args:
        argument: what was given the name.
        name: the name.
        known: those that would do.
        kind: what these are.

    Example:
        >>> str(unknown("tag", "train/rewrd", ["train/reward", "time/elapsed"], "curves"))
        "tag: expected one of ['train/reward'], got 'train/rewrd'"
        >>> str(unknown("tag", "train/rewrd", [], "curves"))
        "tag: got 'train/rewrd', but there are no curves in the log"
    """
    if not known:
        return ValueError(f"{argument}: got {name!r}, but there are no {kind} in the log")
    near = difflib.get_close_matches(name, known, n=5, cutoff=0.6)
    if near or len(known) <= 5:
        return ValueError(f"{argument}: expected one of {near or sorted(known)}, got {name!r}")
    some = ", ".join(map(repr, sorted(known)[:5]))
    return ValueError(f"{argument}: expected one of {len(known)} {kind}, such as {some}, got {name!r}")


def series(run: Run, tag: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps, ascending, and values of a tag as ``curve`` gives them; finite values only."""
    steps, values = curve(run, tag)
    finite = np.isfinite(values)
    return steps[finite], values[finite]


def curve(run: Run, tag: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps, ascending, and values of a tag by our name for it, or by the one in the run's files.

    Infinite values are NaN, a gap in a line. Of what the run wrote again, as after a restart, the last is there.

    Raises:
        ValueError: if the run has no such tag, or no finite value of it; the message offers near names.
    """
    known = {**run.canonical, **dict.fromkeys(run.tags)}
    if tag not in known:
        raise unknown("tag", tag, known, "curves")
    steps, values = ordered(run.canonical[tag] if tag in run.canonical else run.series(tag))
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(f"tag: expected finite values of {tag!r}, got {len(values)} that are NaN or infinite")
    return steps.astype(np.float64), np.where(finite, values, np.nan)


def curves(runs: Sequence[Run], tag: str, *, points: int = 200) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The tag of several runs on common steps, interpolated linearly.

    Args:
        runs: at least one.
        tag: which series.
        points: how many steps, at even distances over the range that **all** runs cover.

    Returns:
        Steps [points] and scores [runs, 1, points].

    Raises:
        ValueError: if a run lacks the tag, or there is no step that all runs cover.
    """
    each = [series(run, tag) for run in runs]
    first, last = max(steps[0] for steps, _ in each), min(steps[-1] for steps, _ in each)
    if first > last:
        raise ValueError(
            f"runs: expected steps in common, got a run that begins at {first:g} and one that ends at {last:g}"
        )
    grid = np.linspace(first, last, points)
    return grid, np.stack([np.interp(grid, steps, values) for steps, values in each])[:, None]


def final_scores(runs: Run | Iterable[Run], tag: str, *, fraction: float = 0.1) -> NDArray[np.float64]:
    """One score a run: the mean of the tag over the last part of its steps.

    Args:
        runs: at least one.
        tag: which series.
        fraction: the last part, above 0 and at most 1.

    Returns:
        float64 [runs, 1].

    Raises:
        ValueError: if a run lacks the tag, or ``fraction`` is out of range.

    Example:
        ``final_scores(read_runs("runs/*"), "train/reward").mean()`` is the mean over seeds
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction: expected a number above 0 and at most 1, got {fraction}")
    scores = []
    for steps, values in (series(run, tag) for run in as_runs(runs)):
        begin = steps[-1] - fraction * (steps[-1] - steps[0])
        scores.append(values[steps >= begin].mean())
    return np.array(scores)[:, None]


def _value_names(values: Sequence[object]) -> list[str]:
    """Values of a hyperparameter as text; floats of many digits, as a sweep draws them, in those that distinguish them.

    Example:
        >>> _value_names([0.0003, 0.00013271517125308795]), _value_names([0.12345, 0.12346])
        (['0.0003', '0.000133'], ['0.12345', '0.12346'])
    """
    for digits in range(3, 18):
        rounded = [f"{value:.{digits}g}" if isinstance(value, float) else str(value) for value in values]
        if len(set(rounded)) >= len(set(values)):
            break
    return [min(str(value), text, key=len) for value, text in zip(values, rounded, strict=True)]


def _order(value: object) -> tuple[bool, float, str]:
    """Numbers by size, before everything else by name."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return not number, float(value) if number else 0.0, str(value)  # type: ignore[arg-type]
