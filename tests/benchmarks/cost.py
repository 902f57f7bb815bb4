"""What recording costs: ``python -m tests.benchmarks.cost`` prints the tables.

The whole PPO takes turns in one process with the bare one (see ``tests.benchmarks.turns``), each in the first place as
often as in the second, with one torch thread. Turns next to each other are compared; a tenth of the differences at
either end is the machine's and left out. CPU time of the writers' threads is charged to recording. What eight scalars
cost, ``python -m tests.benchmarks.scalars`` tells.
"""

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import Recorder, default_callbacks
from puffer_callbacks.ppo import PPO
from tests.benchmarks.turns import compare, in_turns
from tests.support.reading import tensorboard_scalars

ENVS, STEPS, BATCH, EPOCHS = 8, 128, 256, 4
OVERHEAD = "logging/overhead_pct"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


Callbacks = Callable[[], list[Callback]]


def empty_callbacks() -> list[Callback]:
    """As many callbacks as the default ones with their recorder, which do nothing."""
    return [Callback() for _ in (*default_callbacks(), Recorder())]


def ppo(total: int, *, callbacks: Callbacks = default_callbacks, logger: bool = True) -> tuple[float, float]:
    """Seconds of our PPO with some callbacks; and what the recorder says it took, in percent, where there is one."""
    module = PPO("CartPole-v1", total_timesteps=total, num_envs=ENVS, num_steps=STEPS, batch_size=BATCH, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"max_epochs": -1, "accelerator": "cpu", **QUIET}
        trainer = Trainer(logger=TensorBoardLogger(folder) if logger else False, callbacks=callbacks(), **settings)
        began = time.perf_counter()
        trainer.fit(module)
        seconds = time.perf_counter() - began
        logged = tensorboard_scalars(trainer.logger.log_dir) if logger else {}
        return seconds, logged[OVERHEAD][-1][1] if OVERHEAD in logged else math.nan


def stable_baselines(total: int) -> float:
    """Seconds of Stable-Baselines3's PPO with its TensorBoard log."""
    from stable_baselines3 import PPO as Rival
    from stable_baselines3.common.env_util import make_vec_env

    with tempfile.TemporaryDirectory() as folder:
        settings = {"n_steps": STEPS, "batch_size": BATCH, "n_epochs": EPOCHS, "ent_coef": 0.01, "seed": 1}
        rival = Rival("MlpPolicy", make_vec_env("CartPole-v1", ENVS, seed=1), tensorboard_log=folder, **settings)
        began = time.perf_counter()
        rival.learn(total // (ENVS * STEPS) * ENVS * STEPS - 1)
        return time.perf_counter() - began


def against_nothing(rounds: int, total: int) -> None:
    """Print what the default callbacks with TensorBoard cost beside no callbacks, with and without a logger."""
    print(f"\nPPO, {total:,} environment steps, {rounds} rounds, 1 torch thread, against no callbacks and logger=False")
    print("| run | wall time | each round | overhead_pct says |\n|---|---|---|---|")
    kinds: dict[str, dict[str, Any]] = {
        "all default callbacks, TensorBoard": {},
        "as many callbacks that do nothing, logger=False": {"callbacks": empty_callbacks, "logger": False},
        "no callbacks, TensorBoard": {"callbacks": list},
        "no callbacks, logger=False: how far the same differs from itself": {"callbacks": list, "logger": False},
    }
    for name, kind in kinds.items():
        ratios, reported = zip(*(_pair(total, turn_about=at % 2, **kind) for at in range(rounds)), strict=True)
        each = " ".join(f"{ratio:.3f}" for ratio in ratios)
        percent = "–" if math.isnan(reported[0]) else f"{100 * statistics.median(reported):.1f} %"
        print(f"| {name} | {statistics.fmean(ratios):.3f} times | {each} | {percent} |", flush=True)


def _pair(total: int, *, turn_about: int, **kind: Any) -> tuple[float, float]:
    """A run against the bare one: the ratio of their times, and the share that the recorder tells of."""
    inside: list[float] = []

    def run() -> None:
        elapsed, percent = ppo(total, **kind)
        inside.append(elapsed * percent / (100 + percent))  # in which it waited for its turn too

    fits = {"run": run, "bare": lambda: ppo(total, callbacks=list, logger=False)}
    names = sorted(fits, reverse=bool(turn_about))
    turns, beside = in_turns({name: fits[name] for name in names}, steps=STEPS * ENVS * EPOCHS // BATCH)
    took = sum(turns["run"])
    return 1 + compare(turns, beside)[0], inside[0] / (took - inside[0])


def against_stable_baselines(rounds: int, total: int) -> None:
    """Print the speed of both, each with its TensorBoard log on."""
    ours, theirs = [], []
    for at in range(rounds + 1):
        pair = ppo(total)[0], stable_baselines(total)
        if at:  # the first round warms up
            ours.append(pair[0])
            theirs.append(pair[1])
    print(f"\nPPO on CartPole-v1, {ENVS} environments, {STEPS} steps, batch {BATCH}, {EPOCHS} epochs, 1 torch thread")
    print("| run | env steps per second |\n|---|---|")
    print(f"| all default callbacks, TensorBoard | {total / statistics.median(ours):,.0f} |")
    print(f"| Stable-Baselines3, TensorBoard | {total / statistics.median(theirs):,.0f} |")
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    print(f"speed against Stable-Baselines3: {ratio:.2f} times")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--total-timesteps", type=int, default=100_000)
    parser.add_argument("--only", choices=["stable-baselines", "nothing"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "puffer_callbacks"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    total = options.total_timesteps
    ppo(4096)
    if options.only in (None, "stable-baselines"):
        against_stable_baselines(options.rounds, total // 2)
    if options.only in (None, "nothing"):
        against_nothing(options.rounds, total)


if __name__ == "__main__":
    main()
