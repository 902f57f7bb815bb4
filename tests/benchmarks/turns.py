"""Fits that take turns in one process, so that the machine's changes of speed meet all of them alike.

On a shared machine two runs of some seconds differ by a tenth for no reason of their own. Fits that hand over to
each other every few milliseconds differ by what they do.
"""

import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lightning.pytorch import Callback

Fit = Callable[[Callback], None]
"""A fit that takes the callback which hands over."""


class _Rounds:
    """Who may go on: one at a time, in turn, those that have ended left out.

    What other threads than the fits' do in between, such as writers, is timed apart: they belong to no turn.
    """

    def __init__(self, names: list[str]) -> None:
        self._names = list(names)
        self._at = 0
        self._changed = threading.Condition()
        self._fits: set[int] = set()
        self._began, self._beside = 0.0, 0.0
        self.turns: dict[str, list[float]] = {name: [] for name in names}
        self.beside = 0.0

    def enter(self, name: str) -> None:
        self._fits.add(threading.get_native_id())
        with self._changed:
            self._changed.wait_for(lambda: self._names[self._at] == name)
        self._begin()

    def hand_over(self, name: str, *, ended: bool = False) -> None:
        now = time.perf_counter()
        beside = max(0.0, self._others() - self._beside)
        self.beside += beside
        self.turns[name].append(now - self._began - beside)
        with self._changed:
            here = self._names.index(name)
            if ended:
                self._names.remove(name)
            self._at = (here + (not ended)) % max(len(self._names), 1)
            self._changed.notify_all()
            if not ended:
                self._changed.wait_for(lambda: self._names[self._at] == name)
        self._begin()

    def _begin(self) -> None:
        self._beside = self._others()
        self._began = time.perf_counter()

    def _others(self) -> float:
        """CPU seconds of the threads that run none of the fits."""
        spent = 0.0
        for thread in os.listdir("/proc/self/task"):
            if int(thread) not in self._fits:
                try:
                    with open(f"/proc/self/task/{thread}/schedstat", encoding="ascii") as file:
                        spent += int(file.read().split()[0]) / 1e9
                except (FileNotFoundError, ProcessLookupError):  # it has ended since
                    continue
        return spent


class _HandsOver(Callback):
    def __init__(self, rounds: _Rounds, name: str, steps: int) -> None:
        self._rounds, self._name, self._steps, self._at = rounds, name, steps, 0

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self._at += 1
        if self._at % self._steps == 0:
            self._rounds.hand_over(self._name)


def in_turns(fits: Mapping[str, Fit], *, steps: int) -> tuple[dict[str, list[float]], float]:
    """Run fits to their ends, each in a thread of its own, one at a time.

    Args:
        fits: by name.
        steps: training steps after which one hands over to the next.

    Returns:
        The seconds of each turn, the first with the fit's beginning and the last with its end; and the CPU
        seconds of all other threads, which are in none of them.
    """
    rounds = _Rounds(list(fits))

    def run(name: str, fit: Fit) -> None:
        rounds.enter(name)
        try:
            fit(_HandsOver(rounds, name, steps))
        finally:
            rounds.hand_over(name, ended=True)

    threads = [threading.Thread(target=run, args=item) for item in fits.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return rounds.turns, rounds.beside


def trimmed(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean without a tenth of the numbers at either end, where what the machine does meanwhile is, and its
    standard error (Tukey and McLaughlin 1963).
    """
    ordered, few = sorted(numbers), len(numbers) // 10
    kept = ordered[few : len(numbers) - few]
    pulled_in = [min(max(number, kept[0]), kept[-1]) for number in numbers]
    return statistics.fmean(kept), statistics.stdev(pulled_in) * math.sqrt(len(numbers)) / len(kept)
