"""The training steps of a run: what they return is added up, and nobody is asked before anything is due."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from time import perf_counter
from typing import Any

from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.overhead.stopwatch import Stopwatch
from puffer_callbacks.recorder.counters import Counters
from puffer_callbacks.recorder.hooks import Listeners, is_ours, price_of_a_call
from puffer_callbacks.recorder.row_log import RowLog
from puffer_callbacks.recorder.sums import IS_COMPILED, Passage


class Steps:
    """Adds up what steps return, and tells where more is due.

    Where the package is compiled, the steps between take ``Passage``, which does the same in a tenth of the time:
    it stands in the place of the hook, ``slow``, until something is due.

    Args:
        callbacks: those of the trainer.
        counters: the run's.
        stopwatch: where the time is added.
        guard: contains the faults.
    """

    def __init__(self, callbacks: Iterable[Any], counters: Counters, stopwatch: Stopwatch, guard: Guard) -> None:
        told = [callback for callback in callbacks if callable(getattr(callback, "on_step", None))]
        self._followers = [each for each in told if _follows(each)]
        self.listeners = Listeners([each for each in told if not _follows(each)], counters.optimizer_steps)
        self._counters, self._stopwatch, self._guard = counters, stopwatch, guard
        self._may_pass = all(is_ours(each, "follow") for each in self._followers)
        for follower in self._followers:
            follower.begin_interval(counters.optimizer_steps)
        self._price, self._scale, self._rates = 0.0, 1, counters.learning_rates
        self._passage: Passage | None = None

    def stand_for(self, slow: Callable[..., None], go_on: Callable[[bool], None]) -> Passage | None:
        """What Lightning had best call in place of the hook ``slow``; ``go_on`` is called where the axis moves on or an
        interval ends, with whether it is the latter.
        """
        self._price = 2 * price_of_a_call()  # of Lightning for the hook, and of the optimizer for the counter
        if IS_COMPILED:
            self._passage = Passage(self._counters, slow, go_on, perf_counter)
        return self._passage

    def is_stand_in(self, hook: object) -> bool:
        """Whether it is what ``stand_for`` gave."""
        return hook is not None and hook is self._passage

    def add(self, trainer: Any, module: Any, outputs: object) -> int:
        """Add a step up.

        Returns:
            What its ``loss`` was divided by.
        """
        began, self._rates = perf_counter(), self._counters.learning_rates
        self._scale = trainer.accumulate_grad_batches
        if self._scale != 1 and not module.automatic_optimization:
            self._scale = 1
        try:
            for follower in self._followers:
                follower.follow(outputs, self._scale, self._rates)
        except Exception as error:
            if not self._guard.contain(error):
                raise
        self._stopwatch.add(perf_counter() - began + self._price)
        return self._scale

    def is_quiet(self, journal: RowLog | None, due: float) -> bool:
        """Whether nothing else is to be done at this step.

        Args:
            journal: what may have a row that lies behind.
            due: when the budget is judged, by the clock.
        """
        until = min(self.listeners.until, self._ends_at)
        if journal is None or self._counters.optimizer_steps >= until or perf_counter() >= due:
            return False
        return journal.position(self._counters) <= journal.open_at

    @property
    def _ends_at(self) -> int:
        """The step at which the next interval ends."""
        return min([follower.ends_at for follower in self._followers], default=sys.maxsize)

    def end_intervals(self, recorder: Any) -> None:
        """Have the followers log the intervals that end at this step."""
        for follower in self._followers:
            if self._counters.optimizer_steps >= follower.ends_at:
                with recorder.guard(type(follower).__name__):
                    follower.end_interval(recorder)

    def let_pass(self, journal: RowLog | None, due: float) -> None:
        """Ask for no step like this one before anything is due."""
        if self._passage is None or journal is None or not self._may_pass or self._scale != 1:
            return
        sums = tuple(follower.sums for follower in self._followers)
        if None in sums or any(each.names != sums[0].names for each in sums):
            return
        position = partial(journal.position, self._counters) if journal.is_by_env else None
        self._passage.open(sums, self.listeners.until, self._ends_at, due, self._rates, position, journal.open_at)

    def stop(self) -> None:
        """Ask for the next step, as what is due may be something else now."""
        if self._passage is not None and self._passage.close():
            self.count()

    def count(self) -> None:
        """Count the time of the steps that passed."""
        if self._passage is not None:
            passed, spent = self._passage.take()
            self._stopwatch.add(spent + passed * self._price, blocks=passed)


def _follows(callback: Any) -> bool:
    """Whether it wants all steps added up, and to be told where its interval ends."""
    return hasattr(callback, "end_interval") and is_ours(callback, "on_step")
