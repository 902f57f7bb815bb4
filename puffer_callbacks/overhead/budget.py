"""``Budget``: longer intervals where recording takes more than its share of a run's time."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.schedule import Every

WINDOW_SECONDS = 10.0
"""The share is judged over windows of this length, so that a first firing or a pause decides nothing."""
_FIRST_WINDOW = 3
"""How much longer the first window is: looks at rollouts and histograms are dense at the start of a run."""
MAX_MULTIPLIER = 64
"""An interval is never widened further than by this factor."""
_LITTLE = 0.1
"""The share of the budget below which a callback is left alone: to call it less often costs data and gains little."""
_RELAX_BELOW = 0.25
"""The share of the budget below which an interval narrows by half."""

_log = logging.getLogger("puffer_callbacks")


@dataclass
class BudgetedCallback:
    """A callback whose interval may be widened, or several of one kind, which are widened together.

    Args:
        name: of the kind.
        unit: what the intervals count, ``"steps"`` or ``"rollouts"``.
        stopwatch: what they cost.
        schedules: their intervals, one or more.
    """

    name: str
    unit: str
    stopwatch: Stopwatch
    schedules: list[Every] = field(default_factory=list)

    @property
    def multiplier(self) -> int:
        """By how much the intervals are widened."""
        return max(schedule.multiplier for schedule in self.schedules)

    @property
    def interval(self) -> int:
        """The shortest interval, widened."""
        return min(schedule.n for schedule in self.schedules) * self.multiplier

    def widen(self, multiplier: int) -> None:
        """Widen all intervals by this factor."""
        for schedule in self.schedules:
            schedule.multiplier = multiplier

    @property
    def tag(self) -> str:
        """Where its interval is logged."""
        return f"logging/every_n_{self.unit}/{self.name}"


class Budget:
    """Widens the interval of the most expensive callback while recording takes more than its share, and back.

    A callback that takes less than a tenth of the budget is left alone.

    Args:
        share: of the run's time, in (0, 1].

    Example:
        >>> budget = Budget(0.01)
        >>> budget.register("HistogramCallback", Every(1000))
        >>> budget.adjust(0.04, {"HistogramCallback": 0.03})
        {'logging/every_n_steps/HistogramCallback': 2000.0}
        >>> budget.adjust(0.001, {"HistogramCallback": 0.0})
        {'logging/every_n_steps/HistogramCallback': 1000.0}
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._callbacks: dict[str, BudgetedCallback] = {}
        self._reported: set[str] = set()
        self.restart()

    def register(self, name: str, schedule: Every, *, unit: str = "steps") -> None:
        """Put a callback's schedule under the budget, beside those of the same kind."""
        callback = self._callbacks.setdefault(name, BudgetedCallback(name, unit, Stopwatch()))
        if schedule not in callback.schedules:
            callback.schedules.append(schedule)

    def stopwatch(self, name: str) -> Stopwatch | None:
        """The stopwatch of a registered callback."""
        callback = self._callbacks.get(name)
        return None if callback is None else callback.stopwatch

    def restart(self) -> None:
        """Begin the first window of a run."""
        self._begin_window(seconds=_FIRST_WINDOW * WINDOW_SECONDS)

    def _begin_window(self, inside: float = 0.0, busy: float = 0.0, *, seconds: float) -> None:
        self._started, self._inside, self._busy = perf_counter(), inside, busy
        self.due_at = self._started + seconds
        for callback in self._callbacks.values():
            callback.stopwatch.restart()

    def check(self, inside: float, *, busy: float = 0.0) -> dict[str, float]:
        """Judge the window that ends now, and begin the next.

        Args:
            inside: seconds that recording has taken on the training thread, of the whole run.
            busy: CPU seconds of the writers' threads.

        Returns:
            The interval that changed, by tag.
        """
        elapsed = perf_counter() - self._started
        in_threads = (busy - self._busy) / elapsed
        share = (inside - self._inside) / elapsed + in_threads
        costs = {name: callback.stopwatch.inside / elapsed for name, callback in self._callbacks.items()}
        self._begin_window(inside, busy, seconds=WINDOW_SECONDS)
        return self.adjust(share, costs, in_threads=in_threads)

    def adjust(self, share: float, costs: dict[str, float], *, in_threads: float = 0.0) -> dict[str, float]:
        """Widen or narrow one interval.

        Args:
            share: what recording took of the window.
            costs: what each callback took of it, on the training thread.
            in_threads: what the writers' threads took of it, which is for what the callbacks log.

        Returns:
            The interval that changed, by tag; nothing where none did.
        """
        if share > self.share:
            return self._widen(share, costs, least=0.0 if in_threads > self.share else self.share * _LITTLE)
        return self._narrow() if share < self.share * _RELAX_BELOW else {}

    def state_dict(self) -> dict[str, int]:
        """By how much intervals are widened, by the callback's name."""
        return {name: multiplier for name in self._callbacks if (multiplier := self._multiplier(name)) > 1}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Continue with the intervals of a checkpoint."""
        for name, multiplier in state.items():
            if name in self._callbacks:
                self._callbacks[name].widen(multiplier)

    def _multiplier(self, name: str) -> int:
        return self._callbacks[name].multiplier

    def _excess(self, share: float) -> str:
        return f"recording took {share:.1%} of the run, above its budget of {self.share:.1%}"

    def _widen(self, share: float, costs: dict[str, float], *, least: float) -> dict[str, float]:
        """Widen the interval of the most expensive callback, if it takes more than the least."""
        candidates = [n for n, cost in costs.items() if cost > 0 and self._multiplier(n) < MAX_MULTIPLIER]
        name = max(candidates, key=lambda name: costs[name], default=None)
        if name is None or costs[name] <= least:
            left = "no interval is left to widen" if name is None else "none of the callbacks takes much of it"
            self._report("", f"{self._excess(share)}: {left}")
            return {}
        changed, callback = self._set(name, self._multiplier(name) * 2), self._callbacks[name]
        reason = f"{name} fires every {callback.interval} {callback.unit} until there is room again"
        self._report(name, f"{self._excess(share)}: {reason}")
        return changed

    def _narrow(self) -> dict[str, float]:
        """Narrow the interval that is widened most, if one is."""
        name = max(self._callbacks, key=self._multiplier, default=None)
        return self._set(name, self._multiplier(name) // 2) if name and self._multiplier(name) > 1 else {}

    def _set(self, name: str, multiplier: int) -> dict[str, float]:
        callback = self._callbacks[name]
        callback.widen(multiplier)
        return {callback.tag: float(callback.interval)}

    def _report(self, name: str, reason: str) -> None:
        if name not in self._reported:
            self._reported.add(name)
            _log.warning(reason)
