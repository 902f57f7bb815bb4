from threading import Event, current_thread
from threading import enumerate as threads

import pytest

from puffer_callbacks.backends.worker import Worker


@pytest.fixture
def worker():
    worker = Worker("test", tick=lambda: None, every=60.0)
    yield worker
    worker.end()


def do(worker, action):
    """Has a job done and waits for it."""
    done = Event()
    worker.do(action, done)
    assert done.wait(30)


def test_jobs_are_done_in_order_on_one_other_thread(worker):
    done = []
    for at in range(100):
        worker.do(lambda at=at: done.append((at, current_thread())))
    do(worker, lambda: None)
    assert [at for at, _ in done] == list(range(100))
    (thread,) = {thread for _, thread in done}
    assert thread is not current_thread()
    assert thread.daemon
    assert "puffer_callbacks test" in thread.name


def test_without_a_job_there_is_no_thread():
    before = threads()
    worker = Worker("idle", tick=lambda: None, every=60.0)
    worker.end()
    assert threads() == before


def test_it_ends_after_all_jobs(worker):
    done = []
    for at in range(100):
        worker.do(lambda at=at: done.append(at))
    worker.end()
    assert done == list(range(100))
    assert not [thread for thread in threads() if thread.name == "puffer_callbacks test"]


def test_jobs_that_wait_are_counted(worker):
    entered, released = Event(), Event()
    worker.do(lambda: (entered.set(), released.wait()), Event())
    assert entered.wait(30)
    for _ in range(3):
        worker.do(lambda: None)
    assert worker.waiting == 3
    assert worker.stalled > 0
    released.set()
    do(worker, lambda: None)
    assert worker.waiting == 0


def test_jobs_that_nothing_waits_for_are_gathered_up_to_a_number(worker, monkeypatch):
    monkeypatch.setattr(Worker, "batch_delay", 3600.0)
    first = Event()
    worker.do(first.set)
    for _ in range(22):
        worker.do(lambda: None)
    assert not first.wait(0.05)
    worker.do(lambda: None)  # the 24th
    assert first.wait(30)


def test_a_wait_in_vain_is_not_repeated(worker):
    released = Event()
    stuck, later = Event(), Event()
    worker.do(released.wait, stuck)
    assert not worker.wait_at_most(stuck, 0.01)
    worker.do(lambda: None, later)
    assert not worker.wait_at_most(later, 3600.0)  # which would never return if it waited
    released.set()
    assert stuck.wait(30) and later.wait(30)
    assert worker.wait_at_most(later, 3600.0)


def test_it_waits_while_jobs_get_done_and_not_for_one_that_stalls(worker):
    passed = []
    for at in range(5):
        worker.do(lambda at=at: (Event().wait(0.03), passed.append(at)))
    done = Event()
    worker.do(lambda: None, done)
    assert worker.wait_until_done(done, stall=30.0)  # all together longer than one of them
    assert passed == [0, 1, 2, 3, 4]
    released, stuck = Event(), Event()
    worker.do(released.wait, stuck)
    assert not worker.wait_until_done(stuck, stall=0.05)
    released.set()


def test_the_tick_comes_on_the_thread_between_jobs():
    ticked, threads_seen = Event(), []

    def tick():
        threads_seen.append(current_thread())
        ticked.set()

    worker = Worker("ticking", tick=tick, every=0.0)
    worker.do(lambda: threads_seen.append(current_thread()), Event())
    assert ticked.wait(30)
    worker.end()
    assert len(set(threads_seen)) == 1


def test_cpu_seconds_are_those_of_the_thread(worker):
    do(worker, lambda: sum(range(3_000_000)))
    worker.end()
    assert worker.busy > 0
    busy = worker.busy
    sum(range(3_000_000))  # on this thread
    assert worker.busy == busy
