"""``Worker``: a thread that does jobs in order."""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event, Thread, get_ident
from time import monotonic, thread_time
from typing import NamedTuple

_MAX_BATCH = 24
"""Jobs that are waiting when a batch is begun early."""


class _Job(NamedTuple):
    action: Callable[[], object]
    done: Event | None = None


class Worker:
    """Does jobs on a daemon thread, one after the other, in the order in which they came.

    Args:
        name: of the thread.
        tick: called on the thread every ``every`` seconds, between jobs.
        every: seconds.

    Example:
        >>> worker = Worker("example", tick=lambda: None, every=1.0)
        >>> printed = Event()
        >>> worker.do(lambda: print("done"), printed)
        >>> worker.wait_until_done(printed, stall=5.0)
        done
        True
        >>> worker.end()
    """

    batch_delay = 1.0
    """Seconds for which jobs without an event are gathered: to wake for each, with cold caches, costs four times as
    much."""

    def __init__(self, name: str, *, tick: Callable[[], object], every: float) -> None:
        self.busy = 0.0
        """CPU seconds that the thread has spent."""
        self._name, self._tick, self._every = name, tick, every
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ident: int | None = None
        self._urgent = Event()
        self._job_began: float | None = None
        self._overdue: Event | None = None

    @property
    def is_alive(self) -> bool:
        """Whether there is a thread: the first job starts it."""
        return self._thread is not None

    def is_current(self) -> bool:
        """Whether the present thread is the worker's."""
        return get_ident() == self._ident

    @property
    def waiting(self) -> int:
        """Jobs that are not begun."""
        return self._jobs.qsize()

    @property
    def stalled(self) -> float:
        """Seconds since the present job began; 0 where there is none."""
        began = self._job_began
        return 0.0 if began is None else monotonic() - began

    def do(self, action: Callable[[], object], done: Event | None = None) -> None:
        """Add a job: with an event, which is set when it is done, for now; else within ``batch_delay``."""
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"puffer_callbacks {self._name}", daemon=True)
            self._thread.start()
        self._jobs.put(_Job(action, done))
        if done is not None or self._jobs.qsize() >= _MAX_BATCH:
            self._urgent.set()

    def wait_at_most(self, done: Event, seconds: float) -> bool:
        """Wait for a job, but not while one that was waited for in vain is still not done.

        Args:
            done: the job's event.
            seconds: the longest wait.

        Returns:
            Whether it is done.
        """
        if self._overdue is not None and not self._overdue.is_set():
            return done.is_set()
        self._overdue = None if done.wait(seconds) else done
        return self._overdue is None

    def wait_until_done(self, done: Event, *, stall: float) -> bool:
        """Wait for a job, however many there are before it, until one of them takes longer than ``stall``.

        Args:
            done: the job's event.
            stall: seconds that one job may take.

        Returns:
            Whether it is done.
        """
        while not done.wait(0.02):
            if self.stalled > stall:
                return done.is_set()
        return True

    def end(self, *, wait: bool = True) -> None:
        """End the thread after all jobs.

        Args:
            wait: for the end, which may never come where a job is stalled.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            self._urgent.set()
            if wait:
                thread.join()

    def _work(self) -> None:
        self._ident = get_ident()
        due = monotonic() + self._every
        while True:
            self._urgent.wait(min(self.batch_delay, max(0.0, due - monotonic())))
            self._urgent.clear()
            self._job_began = monotonic()
            if not self._do_all():
                self._ident = None  # another thread may be given it
                return
            if monotonic() >= due:
                self._tick()
                due = monotonic() + self._every
            self._job_began = None
            self.busy = thread_time()

    def _do_all(self) -> bool:
        """Do the jobs that are there; returns whether more may come."""
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                self._job_began = monotonic()
                job.action()
                self.busy = thread_time()
                if job.done is not None:
                    job.done.set()
            return False
        return True
