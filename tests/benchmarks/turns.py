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

from torch.optim.optimizer import register_optimizer_step_post_hook

Fit = Callable[[], object]


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


def in_turns(fits: Mapping[str, Fit], *, steps: int) -> tuple[dict[str, list[float]], float]:
    """Run fits to their ends, each in a thread of its own, one at a time.

    Args:
        fits: by name.
        steps: optimizer steps, those of all optimizers of a fit together, after which it hands over to the next.

    Returns:
        The seconds of each turn, the first with the fit's beginning and the last with its end; and the CPU
        seconds of all other threads, which are in none of them.
    """
    rounds, taken = _Rounds(list(fits)), dict.fromkeys(fits, 0)

    def count(*_: object) -> None:
        name = threading.current_thread().name
        if name in taken:
            taken[name] += 1
            if taken[name] % steps == 0:
                rounds.hand_over(name)

    def run(name: str, fit: Fit) -> None:
        rounds.enter(name)
        try:
            fit()
        finally:
            rounds.hand_over(name, ended=True)

    threads = [threading.Thread(target=run, args=item, name=item[0]) for item in fits.items()]
    hook = register_optimizer_step_post_hook(count)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    hook.remove()
    return rounds.turns, rounds.beside


def compare(turns: Mapping[str, list[float]], beside: float) -> tuple[float, float]:
    """How much longer the turns of ``"run"`` take than those of ``"bare"``, as a share, and its standard error.

    The first turn and the last are left out. What other threads did is charged to the run.
    """
    bare = turns["bare"][1:-1]
    more, error = trimmed([a - b for a, b in zip(turns["run"][1:-1], bare, strict=False)])
    step, _ = trimmed(bare)
    return (more + beside / len(turns["bare"])) / step, error / step


def trimmed(numbers: Sequence[float]) -> tuple[float, float]:
    """The mean without a tenth of the numbers at either end, where what the machine does meanwhile is, and its
    standard error (Tukey and McLaughlin 1963).
    """
    ordered, few = sorted(numbers), len(numbers) // 10
    kept = ordered[few : len(numbers) - few]
    pulled_in = [min(max(number, kept[0]), kept[-1]) for number in numbers]
    return statistics.fmean(kept), statistics.stdev(pulled_in) * math.sqrt(len(numbers)) / len(kept)
