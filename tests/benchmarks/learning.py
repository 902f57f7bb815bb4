"""What the reference PPO learns: ``python -m tests.benchmarks.learning`` prints the table.

Each figure is the mean return of the last 100 training episodes of a run with the environment's preset, on
one torch thread.
"""

import argparse
import logging
import statistics
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import lightning.pytorch as pl
import torch

from puffer_callbacks.ppo import PPO, preset
from puffer_callbacks.rollout import Rollout

THRESHOLDS = {"CartPole-v1": 475.0, "Acrobot-v1": -100.0, "Pendulum-v1": -400.0}
"""Mean returns that every seed has to reach."""
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


class Returns(pl.Callback):
    """Keeps the return of every finished episode."""

    def __init__(self) -> None:
        self.returns: list[float] = []

    def on_rollout_end(self, trainer: pl.Trainer, pl_module: PPO, rollout: Rollout) -> None:
        self.returns += rollout.episode_returns.tolist()


def learn(env_id: str, seed: int) -> tuple[float, int, float]:
    """Mean return of the last 100 episodes, environment steps and seconds of one run."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    returns, module = Returns(), PPO(env_id, **preset(env_id), seed=seed)
    began = time.perf_counter()
    pl.Trainer(max_epochs=-1, accelerator="cpu", logger=False, callbacks=[returns], **QUIET).fit(module)
    return statistics.fmean(returns.returns[-100:]), module.env_steps, time.perf_counter() - began


def main() -> int:
    """Print the table; the exit status is 1 where a run stayed below its threshold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--envs", nargs="+", default=list(THRESHOLDS), choices=THRESHOLDS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    options = parser.parse_args()
    runs = [(env_id, seed) for env_id in options.envs for seed in options.seeds]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        results = dict(zip(runs, pool.map(learn, *zip(*runs, strict=True)), strict=True))
    seeds = [f"seed {seed}" for seed in options.seeds]
    print(f"| environment | env steps | at least | {' | '.join(seeds)} | seconds a run |")
    print(f"|---{'|---:' * (len(seeds) + 3)}|")
    for env_id in options.envs:
        means, steps, seconds = zip(*(results[env_id, seed] for seed in options.seeds), strict=True)
        columns = [env_id, f"{max(steps):,}", f"{THRESHOLDS[env_id]:g}", *(f"{mean:.1f}" for mean in means)]
        print(f"| {' | '.join(columns)} | {statistics.median(seconds):.0f} |")
    return int(any(mean < THRESHOLDS[env_id] for (env_id, _), (mean, *_) in results.items()))


if __name__ == "__main__":
    sys.exit(main())
