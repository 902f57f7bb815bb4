"""A run in each trainer, recorded. Trainers are imported when they are used: PufferLib changes its process."""

import tempfile
import time
from collections.abc import Callable
from typing import Any

import gymnasium

from puffer_callbacks import MemoryLogger, default_callbacks
from puffer_callbacks.recorder import Recorder
from tests.benchmarks.faults.record import RecordedRun, StatisticsCallback, series_of
from tests.benchmarks.faults.settings import Job, ppo_options

MAX_SECONDS = 600.0
"""A run ends here, however far it is."""


def record_run(job: Job) -> RecordedRun:
    """Train a job and return what was recorded."""
    others: dict[str, Callable[[Job], RecordedRun]] = {"ours": _ours, "PuffeRL": _pufferl, "CleanRL": _cleanrl}
    return others.get(job.trainer, _stable_baselines)(job)


def _callbacks(max_episode_steps: int | None) -> tuple[MemoryLogger, list[Any]]:
    callbacks = default_callbacks(histograms=False, metrics=16, gradients=16)
    statistics = StatisticsCallback(max_episode_steps=max_episode_steps)
    return MemoryLogger(), [Recorder(overhead_budget=1.0), *callbacks, statistics]


def _ours(job: Job) -> RecordedRun:
    import lightning.pytorch as pl
    from lightning.pytorch.callbacks import Timer

    from puffer_callbacks.ppo import PPO

    fault = _ppo_fault(job)
    options = ppo_options(job.env_id, job.options)
    kind = PPO if fault is None else type(fault.kind.__name__, (fault.kind,), {"fault": fault})
    module = kind(job.env_id, **options, seed=job.seed)
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    timer = Timer(duration={"seconds": MAX_SECONDS}, verbose=False)
    trainer = pl.Trainer(max_epochs=-1, accelerator="cpu", logger=logger, callbacks=[*callbacks, timer], **quiet)
    error = _error_of(lambda: trainer.fit(module))
    facts = _facts(dict(module.hparams), module.action_space, limit, module.policy)
    labels = _labels(fault, error, module.env_steps, options["total_timesteps"])
    return RecordedRun(series_of(logger), {"algorithm": "PPO", **facts}, labels)


def _ppo_fault(job: Job) -> Any:
    from tests.benchmarks.faults import ppo_faults

    names = {fault.name: fault for fault in ppo_faults.FAULTS}
    if job.group == "report":
        return names["sampler drifts from learner"] if "drifts" in job.name else ppo_faults.LARGE_REWARDS
    return names.get(job.name) if job.group == "fault" else None


def _stable_baselines(job: Job) -> RecordedRun:
    from stable_baselines3.common.callbacks import BaseCallback

    from puffer_callbacks.adapters import SB3Bridge
    from tests.benchmarks.faults import sb3_faults

    class Limit(BaseCallback):
        began = time.perf_counter()

        def _on_step(self) -> bool:
            return time.perf_counter() - self.began < MAX_SECONDS

    faults = {(fault.trainer, fault.name): fault for fault in sb3_faults.FAULTS}
    fault = faults.get((job.trainer, job.name)) if job.group == "fault" else None
    model, steps = sb3_faults.make_model(job.trainer, job.env_id, job.seed, fault)
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    bridge = SB3Bridge(logger, callbacks, rollout_steps=max(100, steps // 60))
    interval = 1 if hasattr(model, "rollout_buffer") else 10
    error = _error_of(lambda: model.learn(steps, callback=[bridge, Limit()], log_interval=interval))
    if error:
        bridge.on_training_end()  # what was collected before the error is judged too
    facts = _facts(logger.hparams, model.action_space, limit, model.policy)
    labels = _labels(fault, error, model.num_timesteps, steps)
    return RecordedRun(series_of(logger), {"algorithm": job.trainer, **facts}, labels)


def _pufferl(job: Job) -> RecordedRun:
    from puffer_callbacks.adapters import PuffeRLBridge
    from tests.adapters.puffer import make_trainer, train

    settings = {"total_timesteps": 60_000, "bptt_horizon": 64, "minibatch_size": 256, "max_minibatch_size": 256}
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    bridge = PuffeRLBridge(logger, callbacks)
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(folder, job.env_id, logger=bridge, seed=job.seed, update_epochs=4, **settings)
        trainer.print_dashboard = lambda *args, **kwargs: None
        bridge.attach(trainer)
        error = _error_of(lambda: train(trainer))
    hyperparameters = {**logger.hparams, "total_timesteps": settings["total_timesteps"]}
    facts = _facts(hyperparameters, trainer.vecenv.single_action_space, limit, trainer.uncompiled_policy)
    labels = _labels(None, error, trainer.global_step, settings["total_timesteps"])
    return RecordedRun(series_of(logger), {"algorithm": "PPO", **facts}, labels)


def _cleanrl(job: Job) -> RecordedRun:
    from puffer_callbacks.adapters import Loop
    from tests.adapters import cleanrl

    settings = {"total_timesteps": 50_000, "num_envs": 8, "num_steps": 128, "update_epochs": 4, "seed": job.seed}
    limit = _time_limit(job.env_id)
    logger, callbacks = _callbacks(limit)
    agents: list[Any] = []
    error = _error_of(lambda: agents.append(cleanrl.train(Loop(logger, callbacks), **settings)))
    facts = _facts(settings, gymnasium.make(job.env_id).action_space, limit, agents[0])
    labels = _labels(None, error, settings["total_timesteps"], settings["total_timesteps"])
    return RecordedRun(series_of(logger), {"algorithm": "PPO", **facts}, labels)


def _error_of(learn: Callable[[], object]) -> str:
    """Train; some faults end the run."""
    try:
        learn()
    except Exception as exception:
        return f"{type(exception).__name__}: {exception}"
    return ""


def _labels(fault: Any, error: str, env_steps: int, total: int) -> dict[str, Any]:
    begins, causes = (fault.begins, fault.causes) if fault else (0.0, ())
    return {"begins": begins, "causes": causes, "error": error, "env_steps": env_steps, "total": total}


def _time_limit(env_id: str) -> int | None:
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
