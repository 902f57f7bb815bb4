"""Every scalar of the training step, as exact interval means."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from puffer_callbacks.callbacks.base import PufferCallback, guarded
from puffer_callbacks.recorder.hooks import is_ours
from puffer_callbacks.recorder.interval_sums import IntervalSums
from puffer_callbacks.recorder.recorder import Recorder
from puffer_callbacks.recorder.sums import Sums, Total
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
    """Logs every scalar of the ``training_step`` dict: the exact mean over all steps of the interval.

    ``train/<name>`` for each of them; ``losses/{policy,value,entropy}`` and ``diagnostics/…`` for the names
    that RL shares; ``train/learning_rate`` from the optimizer where the module does not return it. Steps with
    a NaN or infinite value are left out of the mean and counted: ``nonfinite/train/<name>`` is how many there
    were so far.

    Args:
        every_n_steps: the interval, in optimizer steps.

    Raises:
        ValueError: if the interval is below 1.

    Example:
        >>> MetricsCallback(every_n_steps=50).every_n_steps
        50
    """

    def __init__(self, every_n_steps: int = 50) -> None:
        self._every = Every(every_n_steps)
        self.every_n_steps = every_n_steps
        self._sums, self._rate_sums = IntervalSums(), IntervalSums()
        self._nonfinite: Counter[str] = Counter()
        self._met_none = self._says_something = False
        self._rates: Mapping[int, Scalar] = {}
        self._rates_since = 0

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Begin anew: with another module, or on another device, a step may return other things."""
        super().setup(trainer, pl_module, stage)
        self._sums.forget()

    def follow(self, outputs: object, loss_scale: int, rates: Mapping[int, Scalar]) -> None:
        """Add a step to the interval. The recorder calls it, as long as ``on_step`` is ours, at every step that was
        not added to ``sums`` directly.

        Args:
            outputs: what the step returned.
            loss_scale: what its ``loss`` was divided by.
            rates: the learning rates; another object where one has changed.
        """
        if rates is not self._rates:
            self._fold_rates()
            self._rates = rates
        self._says_something = self._sums.add(outputs, loss_scale)
        self._met_none = self._met_none or not self._says_something

    @property
    def sums(self) -> Sums | None:
        """What a step like the latest may be added to instead, where nobody else has to be told of it."""
        return self._sums.plain

    @property
    def ends_at(self) -> int:
        """The step at which the interval ends."""
        return self._every.next

    def begin_interval(self, steps: int) -> None:
        """Begin a run at this step."""
        self._every.begin(steps)

    def end_interval(self, recorder: Recorder) -> None:
        """Log the interval, if there is something to say of its last step."""
        if self._says_something and self._every.fires(recorder.counters.optimizer_steps):
            self._record(recorder)

    @guarded
    def on_step(self, trainer: Any, pl_module: Any, metrics: Mapping[str, Scalar]) -> None:
        """Log the interval where it ends. A subclass's own hook may hand on other metrics than it was given."""
        recorder = Recorder.of(trainer)
        if not is_ours(self, "on_step"):  # else they were followed
            self.follow(metrics, 1, recorder.counters.learning_rates)
        self.end_interval(recorder)

    @guarded
    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Log the last interval, however short."""
        recorder = Recorder.of(trainer)
        self._record(recorder)
        if self._met_none and not self._sums.steps:
            expected = "expected training_step to return a dict of scalars such as {'loss': …}"
            recorder.faults.report("MetricsCallback", f"{expected}, got none; nothing to log")

    @guarded
    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Log the interval that the exception cut short."""
        self._record(Recorder.of(trainer))

    def state_dict(self) -> dict[str, Any]:
        """The interval so far."""
        self._fold_rates()
        return {
            "means": self._sums.state_dict(),
            "rates": self._rate_sums.state_dict(),
            "last": self._every.last,
            "nonfinite": dict(self._nonfinite),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue the interval."""
        self._sums.load_state_dict(state_dict["means"])
        self._rates_since = self._sums.steps
        self._rate_sums.load_state_dict(state_dict["rates"])
        self._every.restart(state_dict["last"])
        self._nonfinite = Counter(state_dict["nonfinite"])

    def _fold_rates(self) -> None:
        """``learning_rate`` of the first optimizer, ``learning_rate/1`` of the next, …, for the steps so far."""
        now = self._sums.steps
        steps, self._rates_since = now - self._rates_since, now
        rates = {f"learning_rate/{at}" if at else "learning_rate": rate for at, rate in self._rates.items()}
        floats = {name: rate for name, rate in rates.items() if isinstance(rate, float)}
        self._rate_sums.add_floats(floats, steps=steps)
        if steps and len(floats) < len(rates):  # a tensor is another object at every step
            self._rate_sums.add({name: rate for name, rate in rates.items() if name not in floats})

    def _record(self, recorder: Recorder) -> None:
        rows: dict[int, dict[str, Value]] = defaultdict(dict)  # by the steps that a mean is over
        for name, (total, count, nonfinite) in self._take().items():
            row, mean = rows[count], total / count if count else math.nan
            for tag, sign in tags(name):
                row[tag] = sign * mean
            if nonfinite:
                self._nonfinite[name] += nonfinite
                recorder.record({f"nonfinite/train/{name}": float(self._nonfinite[name])})
        for count, values in rows.items():
            recorder.record(values, count=count)

    def _take(self) -> dict[str, Total]:
        """The sums; a learning rate that the module returned stands before the optimizer's."""
        self._fold_rates()
        rates, sums = self._rate_sums.take(), self._sums.take()
        return sums if "learning_rate" in sums else rates | sums


@lru_cache(maxsize=1024)
def tags(name: str) -> list[tuple[str, float]]:
    """The tags of a training step's scalar, each with the sign it has there."""
    named = [(f"train/{name}", 1.0)]
    if name in _LOSSES:
        named.append(_LOSSES[name])
    elif name in _DIAGNOSTICS:
        named.append((f"diagnostics/{name}", 1.0))
    return named
