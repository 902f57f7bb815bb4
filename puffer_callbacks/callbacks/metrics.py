"""``MetricsCallback``: every scalar of the training step, as exact interval means."""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.guarded import guarded, guarded_state
from puffer_callbacks.callbacks.step_sums import StepSums, Totals, means, sum_over_ranks, tags, with_tags
from puffer_callbacks.recorder.logged_values import LoggedValues
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Value
from puffer_callbacks.values.scalars import Scalar


class MetricsCallback(PufferCallback):
    """Logs every scalar of the training steps: the exact mean over all steps of the interval, of all ranks.

    ``train/<name>`` for each of them, and ``losses/{policy,value,entropy}`` besides; PPO's diagnostics are
    ``diagnostics/{approx_kl,old_approx_kl,clip_fraction,explained_variance}`` alone. ``train/learning_rate`` comes
    from the optimizer; where the module returns another one, the optimizer's is ``train/learning_rate/0``. Steps with
    a NaN or infinite value are left out of the mean and counted: ``nonfinite/<tag>`` is how many there were so far.

    A torchmetrics object in the dict, which the module updates, is computed at the end of the interval, over all ranks,
    and reset.

    What the module logs with ``self.log`` at a training step has its mean under its own name, over the steps that
    logged it; where the dict has a scalar of the same tag, that one counts. These means take the place of the samples
    that Lightning logs every ``log_every_n_steps``. An epoch's or validation's value under a tag of ours is
    ``<tag>_epoch``; all others stand as Lightning names them.

    Args:
        every_n_steps: the interval, in optimizer steps.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> MetricsCallback(every_n_steps=50).every_n_steps
        50
    """

    expensive = True
    reads_every_step = True
    reads_metrics = False
    uses_collectives = True

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every, self.every_n_steps = Every(every_n_steps), every_n_steps
        self._reset()

    def _reset(self) -> None:
        self._sums, self._logged = StepSums(), LoggedValues()
        self._world_size, self._is_first_rank, self._waits_for_scalars = 1, True, False
        self._nonfinite, self._latest = Counter[str](), dict[str, float]()
        self._last_step_had_scalars: bool | None = None  # before the first step
        self._saw_scalars = self._reported = False

    def reset(self, trainer: Any) -> None:
        """Forget earlier runs."""
        self._reset()
        self._world_size, self._is_first_rank = trainer.world_size, trainer.is_global_zero

    @guarded
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin to read what the module logs."""
        self._logged.start(trainer)

    def update(self, outputs: object, learning_rates: Mapping[str, Scalar], *, loss_scale: int = 1) -> bool:
        """Add a training step to the interval. The recorder calls it at every step.

        Args:
            outputs: what ``training_step`` returned.
            learning_rates: of the optimizers at their last step, by name.
            loss_scale: what the ``loss`` was divided by.

        Returns:
            Whether an interval that is over has waited for this step.
        """
        if self._logged.logged:
            self._add_logged(self._logged.pop())  # of the step before
        had_scalars = self._sums.add_returned(outputs, learning_rates, loss_scale=loss_scale)
        self._last_step_had_scalars = had_scalars
        self._saw_scalars |= had_scalars
        return self._waits_for_scalars and had_scalars

    @property
    def next_step(self) -> int:
        """The optimizer step at which the interval ends; none where ``update`` reports it."""
        return sys.maxsize if self._waits_for_scalars and not self._last_step_had_scalars else self._every.next

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log the interval where it ends; in one process not before a step that has scalars: not all may have some."""
        recorder = Recorder.of(trainer)
        self._add_logged(self._logged.pop_now())
        steps = recorder.counters.optimizer_steps
        if self._logged.is_lightning and self._every.is_due(steps):
            self._report_if_nothing(recorder)
        can_end = self._last_step_had_scalars or self._sums.has_logged or self._world_size > 1  # ranks end it together
        self._waits_for_scalars = not (can_end or self._logged.is_lightning) and self._every.is_due(steps)
        if can_end and self._every.fires(steps):
            self._record_interval(recorder)
            if self._logged.names:  # not monitored: the names of checkpoints have an epoch of their own
                recorder.run.record({"epoch": float(trainer.current_epoch)}, monitored=False)

    @guarded
    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """What is logged now is of no training step."""
        self._add_logged(self._logged.pause())

    @guarded
    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """What is logged now is of training steps again."""
        self._logged.resume()

    @guarded
    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """What is logged now is of training steps again."""
        self._logged.resume()

    @guarded
    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """What is logged now is of the epoch."""
        self._add_logged(self._logged.pause())

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the last interval, however short."""
        recorder = Recorder.of(trainer)
        self._logged.stop()
        self._record_interval(recorder)
        self._report_if_nothing(recorder)

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log the interval that the exception cut short, of this rank alone: others may have ended."""
        self._add_logged(self._logged.pause())
        self._logged.stop()
        self._record(Recorder.of(trainer), self._sums.pop())

    def open_means(self) -> dict[str, float]:
        """The means of the interval so far, by tag. Every rank calls this at the same point of training."""
        logged = {tag: mean for tag, mean in self._latest.items() if tag in self._logged.names}
        return logged | means(sum_over_ranks(self._sums.peek(), self._world_size))

    def unlogged(self, values: dict[str, float]) -> dict[str, float]:
        """What of a row of Lightning's own has to be logged beside the interval means.

        Args:
            values: the row; where training batches are under way it is of the last one.
        """
        if self._logged.in_training:
            self._add_logged(self._logged.pop())
            logged = {*self._logged.names, "epoch"}  # which stands beside the means
            return {name: value for name, value in values.items() if name not in logged}
        own = {*self._latest, *self._sums.tags}
        return {f"{name}_epoch" if name in own else name: value for name, value in values.items()}

    @guarded_state
    def state_dict(self) -> dict[str, Any]:
        """The sums of the interval so far, for a checkpoint."""
        self._add_logged(self._logged.pop_now())
        own = {"means": self._sums.state_dict(), "latest": dict(self._latest), "nonfinite": dict(self._nonfinite)}
        return super().state_dict() | own | {"logged": sorted(self._logged.names)}

    def gather_state(self, state: dict[str, Any]) -> None:
        """Sum the interval so far over ranks."""
        state["means"] = self._sums.state_over_ranks(self._world_size)

    @guarded_state
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval of a checkpoint."""
        super().load_state_dict(state_dict)
        if self._is_first_rank:  # which has what all of them had
            self._sums.load_state_dict(state_dict["means"])
        self._logged.names.update(state_dict.get("logged", ()))
        self._latest, self._nonfinite = dict(state_dict["latest"]), Counter(state_dict["nonfinite"])

    def _add_logged(self, values: Mapping[str, Tensor]) -> None:
        """Add what was logged at one step."""
        if values:
            self._sums.add_logged(values)
            self._saw_scalars = True

    def _record(self, recorder: Recorder, totals: Totals) -> None:
        if self._logged.names:
            recorder.run.logged_names.update(self._logged.names, {"epoch"})
        rows: dict[int, dict[str, Value]] = defaultdict(dict)  # by the number of steps that a mean is over
        others = recorder.latest.keys() - self._latest.keys() if totals[1] else ()  # of other callbacks
        for named, (total, count, nonfinite) in with_tags(totals, excluded=others):
            row, mean, first = rows[count], total / count if count else math.nan, named[0][0]
            for tag, sign in named:
                row[tag] = self._latest[tag] = sign * mean
            if nonfinite:
                self._nonfinite[first] += nonfinite
                recorder.record({f"nonfinite/{first}": float(self._nonfinite[first])})
        for count, values in rows.items():
            recorder.record(values, count=count)

    def _record_interval(self, recorder: Recorder) -> None:
        """Log the means over ranks, and the torchmetrics objects of the steps, computed on all ranks together."""
        self._record(recorder, sum_over_ranks(self._sums.pop(), self._world_size))
        values = self._sums.pop_metrics(guard=recorder.guard, world_size=self._world_size)
        tagged = {tag: sign * value for name, value in values.items() for tag, sign in tags(name)}
        self._latest |= tagged
        recorder.record(tagged)

    def _report_if_nothing(self, recorder: Recorder) -> None:
        has_stepped = self._last_step_had_scalars is not None
        if has_stepped and not self._saw_scalars and not self._reported:
            self._reported = True
            in_lightning = "training_step to return a dict of scalars such as {'loss': …}, or to call self.log"
            expected = in_lightning if self._logged.is_lightning else "steps with scalars, as loop.step({'loss': …})"
            recorder.faults.report("MetricsCallback", f"expected {expected}; got none, so there is nothing to log")
