"""What eight scalars a step cost: ``python -m tests.benchmarks.scalars`` prints the tables.

That is microseconds, and two fits that are alike differ by more. So one fit does both: the callbacks are taken out of
its trainer and put back by turns, and a turn with them is held against the turns before and after it. It is processor
time of the training thread; that of all other threads, such as writers, is charged to the turns with. A tenth of the
differences at either end is the machine's and left out. One torch thread.
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

from puffer_callbacks import MetricsCallback
from puffer_callbacks.recorder.hooks import hide_idle_hooks
from tests.benchmarks.cost import OVERHEAD, QUIET
from tests.benchmarks.turns import trimmed
from tests.support.reading import tensorboard_scalars

TURN, TURNS = 200, 41
"""Steps of a turn, and turns of a fit."""
NAMES = tuple(f"scalar_{at}" for at in range(8))


class Small(LightningModule):
    """A bare step with eight scalars to tell of, and as many layers as it takes to last as long as it shall."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        hidden = [module for _ in range(layers) for module in (torch.nn.Linear(64, 64), torch.nn.Tanh())]
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 64), *hidden, torch.nn.Linear(64, 2))
        self.self_log = False

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        loss = self.net(batch).square().mean()
        scalars = {name: loss.detach() for name in NAMES}
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


class Reads(Callback):
    """What it costs to read the numbers, and do nothing with them."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: object) -> None:
        """Read them."""
        self.row = [value.item() for value in outputs.values()]


class InTurns(Callback):
    """Takes the other callbacks out and puts them back, and times the turns.

    Args:
        self_log: whether the module's own ``self.log`` takes turns instead.
    """

    def __init__(self, *, self_log: bool = False) -> None:
        hide_idle_hooks(self)
        self._self_log = self_log
        self._ends: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._callbacks, self._hooks = trainer.callbacks, trainer.optimizers[0]._optimizer_step_post_hooks
        self._counters = dict(self._hooks)
        self._beside = time.thread_time() - time.process_time()
        pl_module.self_log = self._self_log

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % TURN == 0:
            self._ends.append(time.thread_time())
            self._set(trainer, pl_module, is_in=batch_idx // TURN % 2 == 0)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._set(trainer, pl_module, is_in=True)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._beside += time.process_time() - time.thread_time()  # the writers have ended

    def _set(self, trainer: Trainer, module: Any, *, is_in: bool) -> None:
        trainer.callbacks = self._callbacks if is_in else [self]  # type: ignore[attr-defined]
        module.self_log = self._self_log and is_in
        self._hooks.clear()
        self._hooks.update(self._counters if is_in else {})

    @property
    def without(self) -> list[float]:
        """Seconds of a step, for each turn without the callbacks."""
        return [(after - before) / TURN for before, after in zip(self._ends[1::2], self._ends[2::2], strict=True)]

    @property
    def more(self) -> list[float]:
        """Seconds by which a step takes longer with the callbacks; the first turn, which begins all, is left out."""
        turns = [(after - before) / TURN for before, after in zip(self._ends, self._ends[1:], strict=False)]
        beside = self._beside / (TURN * (TURNS + 1) // 2)
        with_them = zip(turns[1::2], turns[2::2], turns[3::2], strict=False)
        return [during - (before + after) / 2 + beside for before, during, after in with_them]


def fit(layers: int, callbacks: Sequence[Callback], beside: Sequence[Callback] = ()) -> float:
    """Train a small module; what the recorder says it took of the run, in percent."""
    batches = torch.utils.data.DataLoader(torch.randn(TURN * TURNS, 64, 4), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"logger": TensorBoardLogger(folder), "max_epochs": 1, "accelerator": "cpu", **QUIET}
        trainer = Trainer(callbacks=[*callbacks, *beside], **settings)
        trainer.fit(Small(layers), batches)
        return tensorboard_scalars(trainer.logger.log_dir).get(OVERHEAD, [(0, math.nan)])[-1][1]


def cost(
    layers: int, way: Callable[[], Sequence[Callback]], *, rounds: int, self_log: bool
) -> tuple[float, float, float]:
    """Seconds of a step without, by how much longer it takes with the callbacks, and how sure that is (one sigma)."""
    without, more = [], []
    for _ in range(rounds):
        turns = InTurns(self_log=self_log)
        fit(layers, way(), [turns])
        without += turns.without
        more += turns.more
    return statistics.median(without), *trimmed(more)


def layers_for(seconds: float) -> int:
    """How many hidden layers make a bare step last so long."""
    shortest, deep = (cost(layers, list, rounds=1, self_log=False)[0] for layers in (0, 8))
    return max(0, round(8 * (seconds - shortest) / (deep - shortest)))


WAYS: dict[str, Callable[[], Sequence[Callback]]] = {
    "no callback: how far nothing differs from nothing": list,
    "a Lightning callback that does nothing": lambda: [Empty()],
    "a Lightning callback that reads the numbers": lambda: [Reads()],
    "`MetricsCallback`": lambda: [MetricsCallback(every_n_steps=50)],
    "`self.log`": list,
}


def table(layers: int, rounds: int) -> None:
    """Print what each way costs in a step of so many layers."""
    found = {name: cost(layers, way, rounds=rounds, self_log="self.log" in name) for name, way in WAYS.items()}
    bare = statistics.median(seconds for seconds, _, _ in found.values())
    turns = rounds * (TURNS - 3) // 2
    print(f"\nEight scalars in a step of {1e6 * bare:.0f} µs, {layers} hidden layers, {turns} turns each")
    print("| way | cost of a step, µs | share of the step |\n|---|---:|---:|")
    for name, (_, more, sure) in found.items():
        print(f"| {name} | {1e6 * more:.1f} ± {1e6 * sure:.1f} | {100 * more / bare:.2f} % |")
    said = statistics.median(fit(layers, [MetricsCallback(every_n_steps=50)]) for _ in range(rounds))
    print(f"| `{OVERHEAD}` says | | {said:.2f} % |")
    print(f"self.log costs {found['`self.log`'][1] / found['`MetricsCallback`'][1]:.0f} times as much", flush=True)


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="fits of each way")
    rounds = parser.parse_args().rounds
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "puffer_callbacks"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for layers in (0, layers_for(0.8e-3)):
        table(layers, rounds)


if __name__ == "__main__":
    main()
