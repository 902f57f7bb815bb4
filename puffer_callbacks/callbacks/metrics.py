"""Every scalar of the training step, as exact interval means."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.distributed import broadcast_json, gather_json
from puffer_callbacks.recorder.interval_sums import IntervalSums, Total, merge_totals
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Value
from puffer_callbacks.values.scalars import Scalar

_LOSSES = {
    "policy_loss": ("losses/policy", 1.0),
    "value_loss": ("losses/value", 1.0),
    "entropy": ("losses/entropy", -1.0),
}
_DIAGNOSTICS = {"approx_kl", "old_approx_kl", "clip_fraction", "explained_variance"}


class MetricsCallback(PufferCallback):
    """Logs every scalar of the ``training_step`` dict: the exact mean over all steps of the interval, of all ranks.

    ``train/<name>`` for each of them, and ``losses/{policy,value,entropy}`` besides; PPO's diagnostics are
    ``diagnostics/{approx_kl,old_approx_kl,clip_fraction,explained_variance}`` alone. ``train/learning_rate`` comes
    from the optimizer where the module does not return it. Steps with a NaN or infinite value are left out of the
    mean and counted: ``nonfinite/<tag>`` is how many there were so far.

    Args:
        every_n_steps: the interval, in optimizer steps.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> MetricsCallback(every_n_steps=50).every_n_steps
        50
    """

    reads_every_step = True
    reads_metrics = False
    uses_collectives = True

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self._reset()

    def _reset(self) -> None:
        self._sums = IntervalSums()
        self._world_size = 1
        self._nonfinite: Counter[str] = Counter()
        self._saw_scalars = self._saw_no_scalars = self._last_step_had_scalars = False

    def reset(self, trainer: Any) -> None:
        """Begin a run."""
        self._reset()
        self._world_size = trainer.world_size

    def resume_at(self, optimizer_steps: int) -> None:
        """Begin the interval that this step lies in."""
        self._every.resume_at(optimizer_steps)

    def update(self, outputs: object, learning_rates: Mapping[str, Scalar], *, loss_scale: int = 1) -> None:
        """Add a training step to the interval. The recorder calls it at every step.

        Args:
            outputs: what ``training_step`` returned.
            learning_rates: of the optimizers at their last step, by name.
            loss_scale: what the ``loss`` was divided by.
        """
        self._last_step_had_scalars = self._sums.add(outputs, learning_rates, loss_scale=loss_scale)
        if self._last_step_had_scalars:
            self._saw_scalars = True
        else:
            self._saw_no_scalars = True

    @property
    def next_step(self) -> int:
        """The optimizer step at which the interval ends."""
        return self._every.next

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log the interval where it ends; in one process not before a step that has scalars."""
        recorder = Recorder.of(trainer)
        can_end = self._last_step_had_scalars or self._world_size > 1  # ranks end it together
        if can_end and self._every.fires(recorder.counters.optimizer_steps):
            self._record(recorder, self._over_ranks(self._pop()))

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the last interval, however short."""
        recorder = Recorder.of(trainer)
        self._record(recorder, self._over_ranks(self._pop()))
        if self._saw_no_scalars and not self._saw_scalars:
            expected = "expected training_step to return a dict of scalars such as {'loss': …}"
            recorder.faults.report("MetricsCallback", f"{expected}, got none; nothing to log")

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log the interval that the exception cut short, as it is here: other ranks may be gone."""
        self._record(Recorder.of(trainer), self._pop())

    def open_means(self) -> dict[str, float]:
        """The means of the interval so far, by tag. Every rank calls this at the same point of training."""
        totals = self._over_ranks(self._sums.peek())
        means = {name: total / count for name, (total, count, _) in totals.items() if count}
        return {tag: sign * mean for name, mean in means.items() for tag, sign in tags(name)}

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """The interval so far."""
        return {"means": self._sums.state_dict(), "nonfinite": dict(self._nonfinite)}

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval."""
        self._sums.load_state_dict(state_dict["means"])
        self._nonfinite = Counter(state_dict["nonfinite"])

    def _record(self, recorder: Recorder, totals: Mapping[str, Total]) -> None:
        rows: dict[int, dict[str, Value]] = defaultdict(dict)  # by the number of steps that a mean is over
        for name, (total, count, nonfinite) in totals.items():
            row, mean = rows[count], total / count if count else math.nan
            for tag, sign in tags(name):
                row[tag] = sign * mean
            if nonfinite:
                self._nonfinite[name] += nonfinite
                recorder.record({f"nonfinite/{tags(name)[0][0]}": float(self._nonfinite[name])})
        for count, values in rows.items():
            recorder.record(values, count=count)

    def _pop(self) -> dict[str, Total]:
        """The sums of the interval that ends."""
        return self._sums.pop()

    def _over_ranks(self, totals: Mapping[str, Total]) -> Mapping[str, Total]:
        """The sums over all ranks, on every rank, so that all of them monitor the same numbers."""
        if self._world_size == 1:
            return totals
        ranks = gather_json(totals)
        summed = broadcast_json(None if ranks is None else merge_totals(ranks))
        return {name: (total, count, others) for name, (total, count, others) in summed.items()}


@lru_cache(maxsize=1024)
def tags(name: str) -> list[tuple[str, float]]:
    """The tags of a training step's scalar, each with the sign it has there."""
    if name in _DIAGNOSTICS:
        return [(f"diagnostics/{name}", 1.0)]
    named = [(f"train/{name}", 1.0)]
    return [*named, _LOSSES[name]] if name in _LOSSES else named
