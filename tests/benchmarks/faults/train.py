"""Trains the runs and records them: one file each."""

import logging
import os
import time
import traceback
import warnings
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.benchmarks.faults.jobs import Job, ppo_options

MAX_SECONDS = 100.0
"""A run ends here, however far it is."""


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

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.disable(logging.WARNING)
    began = time.perf_counter()
    try:
        record = _ours(job) if job.trainer == "ours" else _stable_baselines(job)
    except Exception:
        return traceback.format_exc(limit=-3)
    record.labels |= {**vars(job), "seconds": time.perf_counter() - began}
    record.save(out / f"{job.key}.npz")
    return ""


def _callbacks(max_episode_steps: int | None) -> tuple[Any, list[Any]]:
    from puffer_callbacks import MemoryLogger, default_callbacks
    from puffer_callbacks.recorder import Recorder
    from tests.benchmarks.faults.record import StatisticsCallback

    callbacks = default_callbacks(histograms=False, metrics=16, gradients=16)
    statistics = StatisticsCallback(max_episode_steps=max_episode_steps)
    return MemoryLogger(), [Recorder(overhead_budget=1.0), *callbacks, statistics]


def _ours(job: Job) -> Any:
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import Timer

    from puffer_callbacks.ppo import PPO
    from tests.benchmarks.faults import ppo_faults
    from tests.benchmarks.faults.record import RecordedRun, series_of

    names = {fault.name: fault for fault in ppo_faults.FAULTS}
    if job.group == "report" and "drifts" in job.name:
        fault = names["sampler drifts from learner"]
    elif job.group == "report":
        fault = ppo_faults.LARGE_REWARDS
    else:
        fault = names.get(job.name) if job.group == "fault" else None
    options = ppo_options(job.env_id, job.options)
    kind = PPO if fault is None else type(fault.kind.__name__, (fault.kind,), {"fault": fault})
    module = kind(job.env_id, **options, seed=job.seed)
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    timer = Timer(duration={"seconds": MAX_SECONDS}, verbose=False)
    trainer = pl.Trainer(max_epochs=-1, accelerator="cpu", logger=logger, callbacks=[*callbacks, timer], **quiet)
    error = ""
    try:
        trainer.fit(module)
    except Exception as exception:  # some faults end the run
        error = f"{type(exception).__name__}: {exception}"
    facts = _facts(dict(module.hparams), module.action_space, limit, module.policy)
    labels = {
        "begins": fault.begins if fault else 0.0,
        "causes": fault.causes if fault else (),
        "error": error,
        "env_steps": module.env_steps,
        "total": options["total_timesteps"],
    }
    return RecordedRun(series_of(logger), {"algorithm": "PPO", **facts}, labels)


def _stable_baselines(job: Job) -> Any:
    from stable_baselines3.common.callbacks import BaseCallback

    from puffer_callbacks.adapters import SB3Bridge
    from tests.benchmarks.faults import sb3_faults
    from tests.benchmarks.faults.record import RecordedRun, series_of

    class Limit(BaseCallback):
        began = time.perf_counter()

        def _on_step(self) -> bool:
            return time.perf_counter() - self.began < MAX_SECONDS

    faults = {(fault.trainer, fault.name): fault for fault in sb3_faults.FAULTS}
    fault = faults.get((job.trainer, job.name)) if job.group == "fault" else None
    model, steps = sb3_faults.make_model(job.trainer, job.env_id, job.seed, fault)
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    error = ""
    bridge = SB3Bridge(logger, callbacks, rollout_steps=max(100, steps // 60))
    try:
        model.learn(steps, callback=[bridge, Limit()], log_interval=1 if hasattr(model, "rollout_buffer") else 10)
    except Exception as exception:
        error = f"{type(exception).__name__}: {exception}"
        bridge.on_training_end()  # what was collected before the error is judged too
    hyperparameters = {**logger.hparams, "total_timesteps": steps}
    facts = _facts(hyperparameters, model.action_space, limit, model.policy)
    labels = {
        "begins": fault.begins if fault else 0.0,
        "causes": fault.causes if fault else (),
        "error": error,
        "env_steps": model.num_timesteps,
        "total": steps,
    }
    return RecordedRun(series_of(logger), {"algorithm": job.trainer, **facts}, labels)


def _time_limit(env_id: str) -> int | None:
    import gymnasium

    return gymnasium.spec(env_id).max_episode_steps


def _facts(hyperparameters: Any, action_space: Any, limit: int | None, module: Any) -> dict[str, Any]:
    from torch import nn

    plain = {
        name: value
        for name, value in hyperparameters.items()
        if isinstance(value, int | float | str | bool) or value is None
    }
    dropout = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in module.modules())
    return {
        "hyperparameters": plain,
        "num_actions": int(action_space.n) if hasattr(action_space, "n") else None,
        "action_dimensions": None if hasattr(action_space, "n") else int(action_space.shape[0]),
        "max_episode_steps": limit,
        "has_dropout": dropout,
    }
