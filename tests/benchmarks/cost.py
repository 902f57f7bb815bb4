"""What recording costs: ``python -m tests.benchmarks.cost`` prints the tables.

Each figure is a median over rounds; the rivals of a round run one after the other in one process, with one torch
thread, so that the machine's speed drifts out of the ratio.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MetricsCallback, default_callbacks
from puffer_callbacks.ppo import PPO

ENVS, STEPS, BATCH, EPOCHS = 8, 128, 256, 4
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def ppo(total: int, *, recorded: bool) -> float:
    """Seconds of our PPO, with all default callbacks and TensorBoard or with nothing."""
    module = PPO("CartPole-v1", total_timesteps=total, num_envs=ENVS, num_steps=STEPS, batch_size=BATCH, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        logger = TensorBoardLogger(folder) if recorded else False
        callbacks = default_callbacks() if recorded else []
        trainer = Trainer(max_epochs=-1, logger=logger, callbacks=callbacks, accelerator="cpu", **QUIET)
        began = time.perf_counter()
        trainer.fit(module)
        return time.perf_counter() - began


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


class Small(LightningModule):
    """A bare step of under a millisecond, with eight scalars to tell of."""

    def __init__(self, *, self_log: bool) -> None:
        super().__init__()
        self.net = torch.nn.Linear(4, 2)
        self.self_log = self_log

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        loss = self.net(batch).square().mean()
        scalars = {f"scalar_{i}": loss.detach() for i in range(8)}
        if self.self_log:
            for name, value in scalars.items():
                self.log(name, value)
        return {"loss": loss, **scalars}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(steps: int, *, self_log: bool = False, callback: bool = False) -> float:
    """Seconds per step of a small module."""
    batches = torch.utils.data.DataLoader(torch.randn(steps, 4), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [MetricsCallback(every_n_steps=50)] if callback else []
        settings = {"logger": TensorBoardLogger(folder), "max_epochs": 1, "accelerator": "cpu", **QUIET}
        trainer = Trainer(callbacks=callbacks, **settings)
        began = time.perf_counter()
        trainer.fit(Small(self_log=self_log), batches)
        return (time.perf_counter() - began) / steps


def rounds(count: int, **rivals: Callable[[], float]) -> dict[str, list[float]]:
    """Every rival once a round, in an order that turns."""
    times: dict[str, list[float]] = {name: [] for name in rivals}
    names = list(rivals)
    for at in range(count + 1):
        for name in names[at % len(names) :] + names[: at % len(names)]:
            seconds = rivals[name]()
            if at:  # the first round warms up
                times[name].append(seconds)
    return times


def ratio(above: list[float], below: list[float]) -> float:
    """Median of the ratios within each round."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--total-timesteps", type=int, default=60_000)
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    total = options.total_timesteps
    ours = {"recorded": partial(ppo, total, recorded=True), "bare": partial(ppo, total, recorded=False)}
    times = rounds(options.rounds, **ours, rival=partial(stable_baselines, total))
    print(f"\nPPO on CartPole-v1, {ENVS} environments, {STEPS} steps, batch {BATCH}, {EPOCHS} epochs, 1 torch thread")
    print("| run | env steps per second |\n|---|---|")
    labels = {"recorded": "all default callbacks, TensorBoard", "bare": "no callbacks, logger=False"}
    for name, label in (labels | {"rival": "Stable-Baselines3, TensorBoard"}).items():
        print(f"| {label} | {total / statistics.median(times[name]):,.0f} |")
    print(f"speed against Stable-Baselines3: {ratio(times['rival'], times['recorded']):.2f} times")
    print(f"wall time against no callbacks: {ratio(times['recorded'], times['bare']):.3f} times")

    steps = 3000
    small = rounds(
        options.rounds,
        bare=partial(fit, steps),
        self_log=partial(fit, steps, self_log=True),
        callback=partial(fit, steps, callback=True),
    )
    cost = {name: [a - b for a, b in zip(small[name], small["bare"], strict=True)] for name in ("self_log", "callback")}
    print(f"\nEight scalars a step of {1e6 * statistics.median(small['bare']):.0f} µs, 1 torch thread")
    print("| way | cost of a step, µs | share of the step |\n|---|---|---|")
    for name, label in {"self_log": "eight self.log calls", "callback": "MetricsCallback"}.items():
        share = ratio(cost[name], small["bare"])
        print(f"| {label} | {1e6 * statistics.median(cost[name]):.1f} | {100 * share:.1f} % |")
    medians = {name: statistics.median(values) for name, values in cost.items()}
    print(f"self.log costs {medians['self_log'] / medians['callback']:.0f} times as much")


if __name__ == "__main__":
    main()
