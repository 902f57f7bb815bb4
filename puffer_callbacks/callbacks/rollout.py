"""Returns, lengths, reward components and the critic's fit of each rollout."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback, guarded
from puffer_callbacks.distributed import gather, gather_json
from puffer_callbacks.measure.episode_statistics import EpisodeMetric, Episodes, info_statistics, info_sums
from puffer_callbacks.recorder.hooks import is_ours
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values.scalars import to_floats

_REDUCE_EVERY_N_STEPS = 16
"""Optimizer steps between two reductions over ranks: the one clock that all ranks share."""


class RolloutCallback(PufferCallback):
    """Logs what the finished episodes say: returns, lengths, reward components, success, explained variance.

    In one process a rollout is logged as it ends. Ranks may end theirs at different times, or none at all, so
    with several the rollouts are gathered at a training step, which all ranks reach together; what is logged
    is what one process would log for the rollouts of all ranks. What is NaN or infinite is left out of every
    statistic and counted: ``nonfinite/rollout/return`` is how many returns were so far.

    Example:
        >>> RolloutCallback()  # doctest: +ELLIPSIS
        <puffer_callbacks.callbacks.rollout.RolloutCallback object at ...>
    """

    def __init__(self) -> None:
        self._metric = EpisodeMetric(dist_sync_fn=gather)
        self._infos: dict[str, NDArray[np.float64]] = {}
        self._nonfinite: Counter[str] = Counter()
        self._reduce = Every(_REDUCE_EVERY_N_STEPS)

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """One process has nothing to do at a step."""
        super().setup(trainer, pl_module, stage)
        if trainer.world_size == 1 and is_ours(self, "on_step"):
            self.on_step = None  # type: ignore[assignment, method-assign]

    @guarded
    def on_rollout_end(self, trainer: Any, pl_module: Any, rollout: Rollout) -> None:
        """Add the rollout, and log it where there is one process."""
        recorder = Recorder.of(trainer)
        if rollout.infos:
            self._add_infos(rollout.infos, recorder)
        if trainer.world_size == 1:
            self._record(recorder, Episodes.of(rollout).statistics())
        else:
            self._metric.to(rollout.rewards.device)
            self._metric.update(rollout)

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Gather over ranks where there are several."""
        recorder = Recorder.of(trainer)
        if trainer.world_size > 1 and self._reduce.fires(recorder.counters.optimizer_steps):
            self._gather(recorder)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Gather what is left."""
        if trainer.world_size > 1:
            self._gather(Recorder.of(trainer))

    def state_dict(self) -> dict[str, Any]:
        """How many values were not finite so far."""
        return {"nonfinite": dict(self._nonfinite)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue to count."""
        self._nonfinite = Counter(state_dict["nonfinite"])

    def _add_infos(self, infos: Mapping[str, Tensor], recorder: Recorder) -> None:
        readable = {name: value for name, value in infos.items() if _is_readable(value)}
        for name in infos.keys() - readable.keys():
            recorder.faults.report(f"Rollout.infos[{name!r}]", _expected(infos[name]))
        self._add(info_sums(readable))

    def _gather(self, recorder: Recorder) -> None:
        """Every rank calls this at the same training step."""
        self._gather_infos()
        self._record(recorder, to_floats(self._metric.compute()))
        self._metric.reset()

    def _record(self, recorder: Recorder, statistics: dict[str, float]) -> None:
        infos, self._infos = self._infos, {}
        found = self._so_far(statistics | info_statistics(infos))
        if found:
            recorder.record(found)

    def _so_far(self, statistics: dict[str, float]) -> dict[str, float]:
        """The statistics, with counts of what is not finite as they are since the start."""
        for tag in [tag for tag in statistics if tag.startswith("nonfinite/")]:
            self._nonfinite[tag] += int(statistics[tag])
            statistics[tag] = float(self._nonfinite[tag])
        return statistics

    def _add(self, infos: dict[str, NDArray[np.float64]]) -> None:
        for name, sums in infos.items():
            self._infos[name] = self._infos.get(name, 0.0) + sums

    def _gather_infos(self) -> None:
        ranks = gather_json({name: sums.tolist() for name, sums in self._infos.items()})
        self._infos = {}
        for infos in ranks:
            self._add({name: np.array(sums) for name, sums in infos.items()})


def _is_readable(value: Tensor) -> bool:
    return value.layout is torch.strided and not value.is_complex() and not value.is_meta


def _expected(value: Tensor) -> str:
    given = f"{value.dtype}, {value.layout} on {value.device}"
    return f"expected a dense tensor of real numbers, got {given}; it is left out"
