"""``RolloutCallback``: returns, lengths, reward components and explained variance of each rollout."""

import math
import sys
from collections import Counter, deque
from dataclasses import astuple, replace
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.axes import Axes, now
from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.gather_schedule import GatherSchedule
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.distributed import broadcast_json, gather_json
from puffer_callbacks.measure.episode_counter import EpisodeCounter
from puffer_callbacks.measure.rollout_statistics import RolloutStatistics, pool
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every

_LAST = 100
"""Episodes that runs are compared by, as Stable-Baselines3's ``stats_window_size`` is by default."""


class RolloutCallback(PufferCallback):
    """Logs statistics of finished episodes: returns, lengths, reward components, success, explained variance.

    In one process a rollout is logged as it ends; several rollouts at one x are one row over all their episodes. With
    several ranks they are gathered at the first training step after each rollout, and what is logged is what one
    process would log for the rollouts of all ranks. Where a rollout has no ``episode_returns``, episodes are counted
    from its rewards and dones, environment by environment, across rollouts. NaN and infinite values are left out of
    every statistic and counted: ``nonfinite/rollout/return`` is the number of such returns so far.
    ``rollout/return_last_100`` is the mean return of the last hundred episodes, by which runs are compared.

    Where recording goes over its budget, as with rollouts of a few steps, several rollouts are one row over all their
    episodes.

    Example:
        >>> RolloutCallback()  # doctest: +ELLIPSIS
        <puffer_callbacks.callbacks.rollout.RolloutCallback object at ...>
    """

    expensive = True
    interval_unit = "rollouts"
    uses_collectives = True
    reads_metrics = False
    logs_earlier_points = True

    def __init__(self) -> None:
        self._every = Every(1, at_start=True)  # the first after a resume is monitored, whatever the interval
        self._gathers = GatherSchedule()
        self._reset(world_size=1, rank=0)

    def _reset(self, *, world_size: int, rank: int) -> None:
        self._world_size, self._rank = world_size, rank
        self._unfinished = EpisodeCounter()
        self._pending: list[tuple[Axes, RolloutStatistics]] = []  # a checkpoint's with their age, until the start
        self._at_one_x: tuple[int, list[RolloutStatistics]] = (-1, [])
        self._nonfinite: Counter[str] = Counter()
        self._last_returns: deque[float] = deque(maxlen=_LAST)

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._reset(world_size=trainer.world_size, rank=trainer.global_rank)

    @property
    def state_key(self) -> str:
        """The key in checkpoints: there is no interval to choose."""
        return type(self).__qualname__

    def resume_at(self, optimizer_steps: int) -> None:
        """Begin to gather at the first training step; rollouts of a checkpoint ended so long before this moment."""
        self._gathers.resume_at(optimizer_steps)
        self._pending = [(_later(axes, now()) if axes.wall_time <= 0 else axes, each) for axes, each in self._pending]

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Log the rollout where there is one process, else keep it for the next training step."""
        recorder = Recorder.of(trainer)
        statistics = RolloutStatistics.of(_with_readable_infos(rollout, recorder), self._unfinished)
        self._pending.append((recorder.counters.axes(), statistics))
        if trainer.world_size == 1 and self._every.fires(self._every.last + 1):
            self._record(recorder)

    @property
    def next_step(self) -> int:
        """The optimizer step at which ranks gather."""
        return self._gathers.next if self._world_size > 1 else sys.maxsize

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Gather over ranks where it is time."""
        recorder = Recorder.of(trainer)
        if trainer.world_size > 1 and recorder.counters.optimizer_steps >= self._gathers.next:
            self._gather(recorder)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the rollouts that were not logged yet."""
        log = self._gather if trainer.world_size > 1 else self._record
        log(Recorder.of(trainer))

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log the rollouts of this process that were not logged yet: other ranks may have ended."""
        self._record(Recorder.of(trainer))

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """What is counted so far: non-finite values, unfinished episodes, rollouts, the open row, the last returns."""
        x, rollouts = self._at_one_x
        return {
            "nonfinite": dict(self._nonfinite),
            "unfinished": self._unfinished.state_dict(),
            "at_one_x": [x, [rollout.to_json() for rollout in rollouts]],
            "pending": self._pending_as_json(since=now()),
            "last_returns": list(self._last_returns),
        }

    def gather_state(self, state: dict[str, Any]) -> None:
        """Add the rollouts and the unfinished episodes of all ranks."""
        ranks = gather_json([self._pending_as_json(since=now()), self._unfinished.state_dict()])
        if ranks is not None:
            state["pending"] = [rollout for pending, _ in ranks for rollout in pending]
            state["unfinished"] = [unfinished for _, unfinished in ranks]

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the counts of a checkpoint."""
        self._nonfinite = Counter(state_dict["nonfinite"])
        self._last_returns = deque(state_dict.get("last_returns", ()), maxlen=_LAST)
        self._load_unfinished(state_dict["unfinished"])
        if self._rank == 0:  # which has what all of them had
            x, rollouts = state_dict["at_one_x"]
            self._at_one_x = (x, [RolloutStatistics.from_json(rollout) for rollout in rollouts])
            pending = state_dict.get("pending", ())
            self._pending = [(Axes(*axes), RolloutStatistics.from_json(rollout)) for axes, rollout in pending]

    def _load_unfinished(self, state: Any) -> None:
        """Continue the episodes of this rank's environments; those of another number of ranks are rank 0's alone."""
        ranks = state if isinstance(state, list) else [state]
        if self._rank < len(ranks) and (self._rank == 0 or len(ranks) == self._world_size):
            self._unfinished.load_state_dict(ranks[self._rank])

    def _pending_as_json(self, *, since: float = 0.0) -> list[Any]:
        pending = [(_later(axes, -since) if axes.wall_time > 0 else axes, each) for axes, each in self._pending]
        return [[astuple(axes), each.to_json()] for axes, each in pending]

    def _record(self, recorder: Recorder) -> None:
        """Log the rollouts since the last row, with those that are in the row already."""
        fresh, self._pending = [statistics for _, statistics in self._pending], []
        if not fresh:
            return
        x, before = self._at_one_x
        rollouts = [*before, *fresh] if x == recorder.run.x else fresh
        self._at_one_x = (recorder.run.x, rollouts)
        statistics = pool(fresh)
        counted = self._counted(pool(rollouts) if len(rollouts) > len(fresh) else statistics, fresh=statistics)
        recorder.record(counted | self._over_last_episodes(fresh))

    def _gather(self, recorder: Recorder) -> None:
        """Pool the rollouts of all ranks on rank 0. Every rank calls this at the same training step."""
        pending, self._pending = self._pending_as_json(), []
        ranks = gather_json(pending)
        rows = broadcast_json(None if ranks is None else self._rows([each for rank in ranks for each in rank]))
        self._gathers.gathered(recorder.counters.optimizer_steps, [axes[1] for axes, _ in rows])
        for axes, statistics in rows:  # on every rank, so that all of them monitor the same numbers
            recorder.record(statistics, axes=Axes(*axes))

    def _rows(self, rollouts: list[Any]) -> list[Any]:
        """One row for the rollouts of all ranks that ended at one optimizer step."""
        steps: dict[int, list[Any]] = {}
        for axes, statistics in rollouts:
            steps.setdefault(axes[1], []).append((axes, RolloutStatistics.from_json(statistics)))
        rows = []
        for _, row in sorted(steps.items()):
            rollouts = [rollout for _, rollout in row]
            pooled = pool(rollouts)
            rows.append([row[-1][0], self._counted(pooled, fresh=pooled) | self._over_last_episodes(rollouts)])
        return rows

    def _over_last_episodes(self, rollouts: list[RolloutStatistics]) -> dict[str, float]:
        """The mean return over the last hundred episodes, these included."""
        returns = [value for rollout in rollouts for value in rollout.returns.tolist() if math.isfinite(value)]
        self._last_returns.extend(returns)
        return {"rollout/return_last_100": math.fsum(self._last_returns) / len(self._last_returns)} if returns else {}

    def _counted(self, statistics: dict[str, float], *, fresh: dict[str, float]) -> dict[str, float]:
        """The statistics, with non-finite values counted since the start."""
        for tag in [tag for tag in statistics if tag.startswith("nonfinite/")]:
            self._nonfinite[tag] += int(fresh.get(tag, 0))
            statistics[tag] = float(self._nonfinite[tag])
        return statistics


def _later(axes: Axes, seconds: float) -> Axes:
    return replace(axes, wall_time=axes.wall_time + seconds)


def _with_readable_infos(rollout: Rollout, recorder: Recorder) -> Rollout:
    """The rollout without those infos that hold no real numbers; each of them is reported."""
    infos = rollout.infos or {}
    unreadable = [name for name, value in infos.items() if not _is_readable(value)]
    for name in unreadable:
        recorder.faults.report(f"Rollout.infos[{name!r}]", _expected(infos[name]))
    if not unreadable:
        return rollout
    return replace(rollout, infos={name: value for name, value in infos.items() if name not in unreadable})


def _is_readable(value: Tensor) -> bool:
    return value.layout is torch.strided and not value.is_complex() and not value.is_meta


def _expected(value: Tensor) -> str:
    given = f"{value.dtype}, {value.layout} on {value.device}"
    return f"expected a dense tensor of real numbers, got {given}; it is left out"
