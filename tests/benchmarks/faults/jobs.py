"""Every run of the benchmark: the faults, the healthy ones, and those between."""

from collections.abc import Iterator

from tests.benchmarks.faults import ppo_faults, sb3_faults
from tests.benchmarks.faults.healthy import healthy_jobs, mutated_jobs
from tests.benchmarks.faults.settings import Job


def all_jobs(*, seeds: tuple[int, ...] = (1, 2, 3)) -> list[Job]:
    """Every job; the seeds are those of the faults."""
    faulty = [job for seed in seeds for job in (*_faults(seed), *_reports(seed))]
    return [*healthy_jobs(), *faulty, *mutated_jobs()]


def _faults(seed: int) -> Iterator[Job]:
    for fault in ppo_faults.FAULTS:
        for env_id in fault.envs:
            yield Job("fault", fault.name, "ours", env_id, seed, dict(fault.options))
    for other in sb3_faults.FAULTS:
        for env_id in other.envs:
            yield Job("fault", other.name, other.trainer, env_id, seed)


def _reports(seed: int) -> Iterator[Job]:
    """Two real reports: entropy coefficient 0.15 without reward normalization; sampler and learner that drift."""
    large = {"ent_coef": 0.15, "norm_adv": False}
    drifting = {"update_epochs": 1, "batch_size": 1024}
    yield Job("report", "entropy 0.15, large rewards", "ours", "Acrobot-v1", seed, large)
    yield Job("report", "sampler drifts, clip fraction 0", "ours", "CartPole-v1", seed, drifting)
