"""Returns, lengths, reward components and the critic's fit of each rollout."""

from typing import Any

import torch
from torch import distributed

from puffer_callbacks.callbacks.base import PufferCallback, contained
from puffer_callbacks.measure.episodes import EpisodeMetric, info_statistics, info_sums
from puffer_callbacks.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import Scalar, to_floats

_REDUCE_EVERY_N_STEPS = 16
"""Optimizer steps between two reductions over ranks: the one clock that all ranks share."""


class RolloutCallback(PufferCallback):
    """Logs what the finished episodes say: returns, lengths, reward components, success, explained variance.

    In one process a rollout is logged as it ends. Ranks may end theirs at different times, or none at all, so with
    several the rollouts are gathered at a training step, which all ranks reach together; what is logged is what
    one process would log for the rollouts of all ranks.

    Example:
        >>> RolloutCallback()  # doctest: +ELLIPSIS
        <puffer_callbacks.callbacks.rollout.RolloutCallback object at ...>
    """

    def __init__(self) -> None:
        self._metric = EpisodeMetric()
        self._infos: dict[str, tuple[float, int]] = {}
        self._reduce = Every(_REDUCE_EVERY_N_STEPS)

    @contained
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Add the rollout, and log it where there is one process."""
        self._metric.to(rollout.rewards.device)
        self._metric.update(rollout)
        for name, (total, count) in info_sums(rollout.infos).items():
            before, so_far = self._infos.get(name, (0.0, 0))
            self._infos[name] = (before + total, so_far + count)
        if trainer.world_size == 1:
            self._record(Recorder.of(trainer))

    @contained
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Gather over ranks where there are several."""
        recorder = Recorder.of(trainer)
        if trainer.world_size > 1 and self._reduce.fires(recorder.counters.optimizer_steps):
            self._gather_infos()
            self._record(recorder)

    @contained
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Gather what is left."""
        if trainer.world_size > 1:
            self._gather_infos()
            self._record(Recorder.of(trainer))

    def _record(self, recorder: Recorder) -> None:
        statistics: dict[str, Scalar] = {**self._metric.compute(), **info_statistics(self._infos)}
        self._metric.reset()
        self._infos = {}
        if statistics:
            recorder.record(dict(to_floats(statistics)))

    def _gather_infos(self) -> None:
        ranks: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(ranks, self._infos)
        self._infos = {}
        for infos in ranks:
            for name, (total, count) in infos.items():
                before, so_far = self._infos.get(name, (0.0, 0))
                self._infos[name] = (before + total, so_far + count)
