"""What recording costs: ``python -m tests.benchmarks.cost`` prints the tables.

The whole PPO takes turns in one process with the bare one (see ``tests.benchmarks.turns``), each in the first place as
often as in the second, with one torch thread. Turns next to each other are compared; a tenth of the differences at
either end is the machine's and left out. Eight scalars are microseconds: there it is processor time of runs of some
seconds, and the median of the differences in each round. CPU time of the writers' threads is charged to recording.
"""

import argparse
import logging
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MetricsCallback, default_callbacks
from puffer_callbacks.hooks import hide_idle_hooks
from puffer_callbacks.ppo import PPO
from tests.benchmarks.turns import in_turns
from tests.support.reading import tensorboard_scalars

ENVS, STEPS, BATCH, EPOCHS = 8, 128, 256, 4
_OVERHEAD = "logging/overhead_pct"
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}


def ppo(total: int, *, recorded: bool, logger: bool = True, beside: Sequence[Callback] = ()) -> tuple[float, float]:
    """Seconds of our PPO, with all default callbacks or none; and what the recorder says it took, in percent."""
    module = PPO("CartPole-v1", total_timesteps=total, num_envs=ENVS, num_steps=STEPS, batch_size=BATCH, seed=1)
    with tempfile.TemporaryDirectory() as folder:
        callbacks = [*(default_callbacks() if recorded else ()), *beside]
        settings = {"max_epochs": -1, "accelerator": "cpu", **QUIET}
        trainer = Trainer(logger=TensorBoardLogger(folder) if logger else False, callbacks=callbacks, **settings)
        began = time.perf_counter()
        trainer.fit(module)
        seconds = time.perf_counter() - began
        return seconds, tensorboard_scalars(trainer.logger.log_dir)[_OVERHEAD][-1][1] if recorded else math.nan


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
    """A bare step with eight scalars to tell of, and as many layers as it takes to last as long as it shall."""

    def __init__(self, *, layers: int, self_log: bool = False) -> None:
        super().__init__()
        hidden = [module for _ in range(layers) for module in (torch.nn.Linear(64, 64), torch.nn.Tanh())]
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 64), *hidden, torch.nn.Linear(64, 2))
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


class Empty(Callback):
    """What any callback costs that Lightning calls at each step."""

    def on_train_batch_end(self, *_: object) -> None:
        """Do nothing."""


class Reads(Empty):
    """What it costs to read the numbers, and do nothing with them."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: object) -> None:
        """Read them."""
        self.row = [value.item() for value in outputs.values()]


def fit(steps: int, layers: int, callbacks: Sequence[Callback] = (), *, self_log: bool = False) -> tuple[float, float]:
    """Train a small module: processor seconds of all threads for a step, and the recorder's share in percent."""
    batches = torch.utils.data.DataLoader(torch.randn(steps, 64, 4), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        watch = Watch()
        settings = {"logger": TensorBoardLogger(folder), "max_epochs": 1, "accelerator": "cpu", **QUIET}
        trainer = Trainer(callbacks=[*callbacks, watch], **settings)
        trainer.fit(Small(layers=layers, self_log=self_log), batches)
        scalars = tensorboard_scalars(trainer.logger.log_dir)
        return watch.seconds / steps, scalars[_OVERHEAD][-1][1] if _OVERHEAD in scalars else 0.0


class Watch(Callback):
    """Processor seconds from the first step to the last."""

    def __init__(self) -> None:
        hide_idle_hooks(self)

    def on_train_start(self, *_: object) -> None:
        self.seconds = -time.process_time()

    def on_train_end(self, *_: object) -> None:
        self.seconds += time.process_time()


def against_nothing(rounds: int, total: int) -> None:
    """Print what the default callbacks with TensorBoard cost beside no callbacks, with and without a logger."""
    print(f"\nPPO, {total:,} environment steps, {rounds} rounds, 1 torch thread, against no callbacks and logger=False")
    print("| run | wall time | each round | overhead_pct says |\n|---|---|---|---|")
    kinds = {
        "all default callbacks, TensorBoard": {"recorded": True, "logger": True},
        "no callbacks, TensorBoard": {"recorded": False, "logger": True},
        "no callbacks, logger=False: how far the same differs from itself": {"recorded": False, "logger": False},
    }
    for name, kind in kinds.items():
        ratios, said = zip(*(_pair(total, turn_about=at % 2, **kind) for at in range(rounds)), strict=True)
        each = " ".join(f"{ratio:.3f}" for ratio in ratios)
        percent = f"{100 * statistics.median(said):.1f} %" if kind["recorded"] else "–"
        print(f"| {name} | {statistics.fmean(ratios):.3f} times | {each} | {percent} |", flush=True)


def _pair(total: int, *, recorded: bool, logger: bool, turn_about: int) -> tuple[float, float]:
    """A run against the bare one: the ratio of their times, and the share that the recorder tells of."""
    inside: list[float] = []

    def run(hand_over: Callback) -> None:
        elapsed, percent = ppo(total, recorded=recorded, logger=logger, beside=[hand_over])
        inside.append(elapsed * percent / (100 + percent))  # in which it waited for its turn too

    def bare(hand_over: Callback) -> None:
        ppo(total, recorded=False, logger=False, beside=[hand_over])

    fits = {"run": run, "bare": bare}
    names = sorted(fits, reverse=bool(turn_about))
    turns, threads = in_turns({name: fits[name] for name in names}, steps=STEPS * ENVS * EPOCHS // BATCH)
    took, each = sum(turns["run"]), turns["bare"][1:-1]
    more = _middle([a - b for a, b in zip(turns["run"][1:-1], each, strict=True)], cut=0.1)
    return 1 + (more + threads / len(turns["bare"])) / _middle(each, cut=0.1), inside[0] / (took - inside[0])


def eight_scalars(rounds: int, steps: int) -> None:
    """Print what eight scalars a step cost, in the shortest step there is and in one of 0.8 ms."""
    for layers in (0, layers_for(0.8e-3)):
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for at in range(rounds):
            for name in [*WAYS][at % len(WAYS) :] + [*WAYS][: at % len(WAYS)]:
                found[name].append(WAYS[name](steps, layers))
        bare = statistics.median(seconds for seconds, _ in found["nothing"])
        print(
            f"\nEight scalars in a step of {1e6 * bare:.0f} µs, {layers} hidden layers, {rounds} rounds, 1 torch thread"
        )
        print("| way | cost of a step, µs | share of the step |\n|---|---|---|")
        cost = {name: _more(found[name], found["nothing"]) for name in WAYS if name != "nothing"}
        for name, seconds in cost.items():
            print(f"| {name} | {1e6 * seconds:.1f} | {100 * seconds / bare:.1f} % |")
        said = statistics.median(percent for _, percent in found["MetricsCallback"])
        print(f"overhead_pct says {said:.1f} %")
        print(f"self.log costs {cost['self.log'] / cost['MetricsCallback']:.0f} times as much", flush=True)


WAYS: dict[str, Callable[[int, int], tuple[float, float]]] = {
    "nothing": fit,
    "an empty callback": lambda steps, layers: fit(steps, layers, [Empty()]),
    "reading the numbers, no more": lambda steps, layers: fit(steps, layers, [Reads()]),
    "MetricsCallback": lambda steps, layers: fit(steps, layers, [MetricsCallback(every_n_steps=50)]),
    "self.log": lambda steps, layers: fit(steps // 8, layers, self_log=True),
}


def _more(mine: list[tuple[float, float]], nothing: list[tuple[float, float]]) -> float:
    """Seconds by which a way takes longer than nothing, the median over rounds."""
    return statistics.median(a - b for (a, _), (b, _) in zip(mine, nothing, strict=True))


def layers_for(seconds: float) -> int:
    """How many hidden layers make a bare step last so long."""
    fit(500, 0)
    bare, deep = fit(1000, 0)[0], fit(1000, 8)[0]
    return max(0, round(8 * (seconds - bare) / (deep - bare)))


def _middle(numbers: list[float], cut: float) -> float:
    """The mean without this share at either end: what the machine does meanwhile is there."""
    few = int(cut * len(numbers))
    return statistics.fmean(sorted(numbers)[few : len(numbers) - few])


def against_stable_baselines(rounds: int, total: int) -> None:
    """Print the speed of both, each with its TensorBoard log on."""
    ours, theirs = [], []
    for at in range(rounds + 1):
        pair = ppo(total, recorded=True)[0], stable_baselines(total)
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
    parser.add_argument("--only", choices=["stable-baselines", "nothing", "scalars"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "puffer_callbacks"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    total = options.total_timesteps
    ppo(4096, recorded=True)
    if options.only in (None, "stable-baselines"):
        against_stable_baselines(options.rounds, total // 2)
    if options.only in (None, "nothing"):
        against_nothing(options.rounds, total)
    if options.only in (None, "scalars"):
        eight_scalars(4 * options.rounds, 4000)


if __name__ == "__main__":
    main()
