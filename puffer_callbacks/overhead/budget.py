"""The share of a run's time that recording may take, and what happens where it takes more."""

import logging
from dataclasses import dataclass
from time import perf_counter

from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.schedule import Every

WINDOW_SECONDS = 10.0
"""The share is judged over windows of this length, so a first firing or a pause decides nothing."""
MOST = 64
"""An interval is never widened further than by this factor."""
_ROOM = 0.25
"""The share of the budget below which an interval comes back by half."""

_log = logging.getLogger("puffer_callbacks")


@dataclass
class BudgetedCallback:
    """A callback whose interval may be widened.

    Args:
        name: whose it is.
        schedule: its schedule.
        stopwatch: what it costs.
    """

    name: str
    schedule: Every
    stopwatch: Stopwatch


class Budget:
    """Widens the interval of the most expensive callback while recording takes more than its share, and back.

    Args:
        share: of the run's time, in (0, 1].

    Example:
        >>> budget = Budget(0.01)
        >>> histograms = Every(1000)
        >>> budget.register("HistogramCallback", histograms)
        >>> budget.judge(0.04, {"HistogramCallback": 0.03})
        {'logging/every_n_steps/HistogramCallback': 2000.0}
        >>> budget.judge(0.001, {"HistogramCallback": 0.0})
        {'logging/every_n_steps/HistogramCallback': 1000.0}
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self._expenses: dict[str, BudgetedCallback] = {}
        self._said: set[str] = set()
        self.restart()

    def register(self, name: str, schedule: Every) -> None:
        """Put a callback's schedule under the budget."""
        stopwatch = self._expenses[name].stopwatch if name in self._expenses else Stopwatch()
        self._expenses[name] = BudgetedCallback(name, schedule, stopwatch)

    def stopwatch(self, name: str) -> Stopwatch | None:
        """The stopwatch of a registered callback."""
        expense = self._expenses.get(name)
        return None if expense is None else expense.stopwatch

    def restart(self, inside: float = 0.0) -> None:
        """Begin a window, ``inside`` seconds of recording into the run."""
        self._began, self._inside = perf_counter(), inside
        self.due_at = self._began + WINDOW_SECONDS
        for expense in self._expenses.values():
            expense.stopwatch.restart()

    def check(self, inside: float) -> dict[str, float]:
        """Judge the window that ends now, and begin the next.

        Args:
            inside: seconds that recording has taken, of the whole run.

        Returns:
            The interval that changed, by tag.
        """
        elapsed = perf_counter() - self._began
        share = (inside - self._inside) / elapsed
        costs = {name: expense.stopwatch.inside / elapsed for name, expense in self._expenses.items()}
        self.restart(inside)
        return self.judge(share, costs)

    def judge(self, share: float, costs: dict[str, float]) -> dict[str, float]:
        """Widen or narrow one interval.

        Args:
            share: what recording took of the window.
            costs: what each callback took of it.

        Returns:
            The interval that changed, by tag; nothing where all is well.
        """
        if share > self.share:
            candidates = [name for name, cost in costs.items() if cost > 0 and self._factor(name) < MOST]
            name = max(candidates, key=lambda name: costs[name], default=None)
            return self._set(name, self._factor(name) * 2, share) if name else {}
        if share < self.share * _ROOM:
            name = max(self._expenses, key=self._factor, default=None)
            return self._set(name, self._factor(name) // 2, share) if name and self._factor(name) > 1 else {}
        return {}

    def _factor(self, name: str) -> int:
        return self._expenses[name].schedule.multiplier

    def _set(self, name: str, factor: int, share: float) -> dict[str, float]:
        schedule = self._expenses[name].schedule
        schedule.multiplier = factor
        interval = schedule.n * factor
        if name not in self._said:
            self._said.add(name)
            over = f"recording took {share:.1%} of the run, above its budget of {self.share:.1%}"
            _log.warning("%s: %s fires every %d steps until there is room again", over, name, interval)
        return {f"logging/every_n_steps/{name}": float(interval)}
