"""Trains the runs and records them: one file each."""

import logging
import os
import time
import traceback
import warnings
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.faults.settings import Job


def train(jobs: list[Job], out: Path, *, workers: int, minutes: float) -> None:
    """Run the jobs that have no file yet, until the time is over; what was left out is listed."""
    out.mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if not (out / f"{job.key}.npz").exists()]
    print(f"{len(waiting)} of {len(jobs)} runs to do, {workers} at a time, {minutes:g} minutes", flush=True)
    ends_at = time.monotonic() + 60 * minutes
    running: dict[Future[str], Job] = {}
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    done = 0
    while (waiting and time.monotonic() < ends_at - 15) or running:
        while waiting and len(running) < workers and time.monotonic() < ends_at - 15:
            job = waiting.pop(0)
            running[pool.submit(run, job, out)] = job
        finished, _ = wait(running, timeout=max(0.0, ends_at - time.monotonic()), return_when=FIRST_COMPLETED)
        if not finished:
            break
        for future in finished:
            job, done = running.pop(future), done + 1
            message = future.result() if future.exception() is None else repr(future.exception())
            if message or done % 25 == 0:
                print(f"{done}: {job.key}: {message or 'ok'}", flush=True)
    skipped = [*running.values(), *waiting]
    print(f"{done} runs done, {len(skipped)} left out" + "".join(f"\n  {job.key}" for job in skipped), flush=True)
    for process in list((pool._processes or {}).values()):
        if running:
            process.terminate()
    pool.shutdown(wait=not running, cancel_futures=True)


def run(job: Job, out: Path) -> str:
    """Train and record one job; returns the error, if there was one that is not the fault's own."""
    import torch

    from tests.benchmarks.faults.trainers import record_run

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    try:
        record = record_run(job)
    except Exception:
        return traceback.format_exc(limit=-3)
    record.labels |= {**vars(job), "seconds": time.perf_counter() - began}
    record.save(out / f"{job.key}.npz")
    return ""
