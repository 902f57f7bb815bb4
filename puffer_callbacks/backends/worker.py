"""A thread that does jobs in order, and keeps nobody waiting for long."""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread, local
from time import monotonic, thread_time
from typing import NamedTuple

MOST_PATIENCE = 60.0
"""Seconds that the end of a run waits at most, for a slow backend that does get on."""
LINGER = 1.0
"""Seconds for which jobs that nobody waits for are gathered: to wake for each, with cold caches, costs four times as
much."""
_MOST_GATHERED = 24


class _Job(NamedTuple):
    action: Callable[[], object]
    done: Event | None = None


class Worker:
    """Does what it is given on a daemon thread, one after the other.

    Args:
        name: of the thread.
        tick: called on the thread every ``every`` seconds, between jobs.
        every: seconds.

    Example:
        >>> worker = Worker("example", tick=lambda: None, every=1.0)
        >>> printed = Event()
        >>> worker.do(lambda: print("done"), printed)
        >>> worker.patient(printed, 5.0)
        done
        True
        >>> worker.end()
    """

    def __init__(self, name: str, *, tick: Callable[[], object], every: float) -> None:
        self.name = name
        self.busy = 0.0
        self._tick, self._every = tick, every
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._here = local()
        self._urgent = Event()
        self._since: float | None = None
        self._overdue: Event | None = None

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun."""
        return self._jobs.qsize()

    @property
    def stalled(self) -> float:
        """Seconds since the present job began; 0 where there is none."""
        since = self._since
        return 0.0 if since is None else monotonic() - since

    @property
    def is_here(self) -> bool:
        """Whether the caller is the worker's own thread."""
        return getattr(self._here, "on", False)

    def do(self, action: Callable[[], object], done: Event | None = None) -> None:
        """Have it done after all that came before: at once with an event to tell when, else within ``LINGER``."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"puffer_callbacks {self.name}", daemon=True)
            self._thread.start()
        self._jobs.put(_Job(action, done))
        if done is not None or self._jobs.qsize() >= _MOST_GATHERED:
            self._urgent.set()

    def hurried(self, done: Event, seconds: float) -> bool:
        """Wait so long and no longer; not at all while an earlier wait was in vain. Tells whether it is done."""
        if self._overdue is not None and not self._overdue.is_set():
            return done.is_set()
        self._overdue = None if done.wait(seconds) else done
        return self._overdue is None

    def patient(self, done: Event, seconds: float) -> bool:
        """Wait while jobs get done, until one takes longer than ``seconds``. Tells whether it is done."""
        end = monotonic() + MOST_PATIENCE
        while not done.wait(0.02):
            if monotonic() > end or self.stalled > seconds:
                return done.is_set()
        return True

    def end(self) -> None:
        """End the thread after all that came before."""
        if self._thread is not None:
            self._jobs.put(None)
            self._urgent.set()
            self._thread = None

    def _work(self) -> None:
        self._here.on = True
        due = monotonic() + self._every
        while True:
            self._urgent.wait(min(LINGER, max(0.0, due - monotonic())))
            self._urgent.clear()
            self._since = monotonic()
            if not self._do_all():
                return
            if monotonic() >= due:
                self._tick()
                due = monotonic() + self._every
            self._since = None
            self.busy = thread_time()

    def _do_all(self) -> bool:
        """Do what there is; tells whether there may be more to come."""
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                self._since = monotonic()
                job.action()
                self.busy = thread_time()
                if job.done is not None:
                    job.done.set()
            return False
        return True
