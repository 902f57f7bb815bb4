"""What happened in a run, in numbers: returns, length, speed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from puffer_callbacks.plots.diagnostics import steps_label
from puffer_callbacks.runs.order import in_order, ordered
from puffer_callbacks.values.comparison import environment_of

if TYPE_CHECKING:
    from puffer_callbacks.runs import Run

Array = NDArray[np.float64]
PART = 0.1
"""The first and the last tenth of a run are compared."""


@dataclass(frozen=True)
class Outcome:
    """What happened in one run; NaN where the run has no such series.

    Args:
        name: what the page calls the run.
        environment: from the hyperparameters, empty where they do not name it.
        steps: the last step.
        steps_name: what a step counts.
        seconds: how long the run took.
        speed: steps per second over the whole run.
        first_return: mean over the first tenth of the run.
        final_return: mean over its last tenth.
        best_return: the highest logged.
        best_step: where that was.
        episode_length: mean over the last tenth, in steps.
        nonfinite: tags with a NaN or infinite value.
        restarts: where the steps go back, the step before and the step after.
    """

    name: str
    environment: str
    steps: int
    steps_name: str
    seconds: float
    speed: float
    first_return: float
    final_return: float
    best_return: float
    best_step: int
    episode_length: float
    nonfinite: tuple[str, ...]
    restarts: tuple[tuple[int, int], ...] = ()


def outcome(run: Run, name: str) -> Outcome:
    """The outcome of a run as it was read, under the name that the page calls it by."""
    steps, returns = _finite(run, "train/reward")
    lengths = _finite(run, "train/episode_length")
    seconds = _seconds(run)
    best = int(returns.argmax()) if returns.size else None
    return Outcome(
        name=name,
        environment=environment_of(run.hyperparameters),
        steps=run.last_step,
        steps_name=steps_label([run]),
        seconds=seconds,
        speed=_speed(run, seconds),
        first_return=_mean(steps, returns, last=False),
        final_return=_mean(steps, returns, last=True),
        best_return=math.nan if best is None else float(returns[best]),
        best_step=0 if best is None else int(steps[best]),
        episode_length=_mean(*lengths, last=True),
        nonfinite=tuple(tag for tag in run.tags if not np.isfinite(run.series(tag)[1]).all()),
        restarts=tuple(run.restarts),
    )


def _finite(run: Run, tag: str) -> tuple[Array, Array]:
    """Steps and finite values of one of our tags, empty where the run has none."""
    steps, values = ordered(run.canonical.get(tag, (np.empty(0, np.int64), np.empty(0))))
    finite = np.isfinite(values)
    return steps[finite].astype(np.float64), values[finite]


def _mean(steps: Array, values: Array, *, last: bool) -> float:
    """Mean over the first or the last tenth of the steps, NaN where there is no value."""
    if not values.size:
        return math.nan
    reach = PART * (steps.max() - steps.min())
    part = steps >= steps.max() - reach if last else steps <= steps.min() + reach
    return float(values[part].mean())


def _seconds(run: Run) -> float:
    """How long the run took, by its own clock or by the time between its first and its last row."""
    elapsed = _finite(run, "time/elapsed")[1]
    if elapsed.size and elapsed.max() > 0:
        ends = np.append(elapsed[1:] < elapsed[:-1], True)  # Stable-Baselines3's begins again in each ``learn``
        return float(elapsed[ends].sum())
    columns = [np.asarray(column.wall_times)[in_order(column.steps)] for column in run.contents.scalars.values()]
    times = np.concatenate(columns) if columns else np.empty(0)
    times = times[np.isfinite(times)]
    if not times.size or run.first_step == run.last_step:  # the tags of one row are written at once
        return math.nan
    return _without_pauses(times.min(), times.max(), run.contents.sessions)


def _without_pauses(first: float, last: float, sessions: Sequence[tuple[float, float]]) -> float:
    """Seconds between two times in which a session of the run was going on."""
    seconds, until = last - first, math.inf
    for begin, end in sorted(sessions):
        seconds -= max(0.0, min(begin, last) - max(until, first))
        until = end if math.isinf(until) else max(until, end)
    return float(seconds)


def _speed(run: Run, seconds: float) -> float:
    """Environment steps per second: the whole run's steps over its time, else the mean of the logged rates."""
    speeds = _finite(run, "throughput/sps")[1]
    steps, elapsed = _finite(run, "time/elapsed")
    if seconds > 0 and run.x_axis == "env_steps" and (elapsed.size or not speeds.size):
        if not elapsed.size:  # the time is that since the first row
            return (run.last_step - run.first_step) / seconds
        begins_late = elapsed.size > 1 and steps[0] > np.diff(steps).max()  # where an earlier log ended
        if begins_late and seconds > elapsed[0]:
            return float((run.last_step - steps[0]) / (seconds - elapsed[0]))
        return run.last_step / seconds
    return float(speeds.mean()) if speeds.size else math.nan
