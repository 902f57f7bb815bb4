"""The cost of eight scalars a step: ``python -m tests.benchmarks.scalars`` prints a table for eight kinds of training.

It is microseconds, and two fits of the same code differ by more. So one fit does both: the callbacks are taken out of
its trainer and put back by turns, and a turn with them is compared with the turns before and after it. Times are
processor time of the training thread; that of all other threads, such as writers, is charged to the turns with
callbacks. A tenth of the differences at either end is left out. One torch thread.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MetricsCallback, PufferCallback, Rollout, emit, log
from puffer_callbacks.recorder.hooks import hide_idle_hooks
from tests.benchmarks.cost import QUIET
from tests.benchmarks.turns import trimmed

TURN, TURNS = 200, 41
"""Steps of a turn, and turns of a fit."""
NAMES = tuple(f"scalar_{at}" for at in range(8))
BOUND, SELF_LOG_BOUND = 1.3, 50


@dataclass(frozen=True)
class Kind:
    """A kind of training.

    Args:
        name: in the table.
        schedule: whether the learning rate changes at each step.
        rollouts: whether a rollout ends every 64 steps, and rows are on environment steps.
        accumulate: batches of an optimizer step.
        optimizer_steps: of a training step, by manual optimization where there are several.
        own_hook: whether a callback of the user's own reads the loss at each step.
        own_value: whether a value of the user's own is logged at each step.
        self_log: whether the scalars are logged with ``self.log`` instead of returned.
    """

    name: str
    schedule: bool = False
    rollouts: bool = False
    accumulate: int = 1
    optimizer_steps: int = 1
    own_hook: bool = False
    own_value: bool = False
    self_log: bool = False


KINDS = (
    Kind("a constant learning rate"),
    Kind("a schedule at each step", schedule=True),
    Kind("environment steps, with rollouts", rollouts=True),
    Kind("4 accumulated batches", accumulate=4),
    Kind("manual optimization, 4 optimizer steps", optimizer_steps=4),
    Kind("a user's own `on_step`", own_hook=True),
    Kind("`log()` at each step", own_value=True),
    Kind("a module that uses `self.log`", self_log=True),
)


class Small(LightningModule):
    """A short step that returns eight scalars."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.net = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Tanh(), torch.nn.Linear(64, 2))
        self.kind, self.self_log, self.is_in = kind, False, False
        self.automatic_optimization = kind.optimizer_steps == 1
        if kind.rollouts:
            self.env_steps = 64
            self.rollout = Rollout(*[torch.zeros(8, 8)] * 4, episode_returns=torch.ones(3), env_steps=64)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        if self.kind.rollouts and batch_idx % 64 == 0:
            self.env_steps += 64
            emit(self, "on_rollout_end", self.rollout)
        loss = self.net(batch).square().mean()
        if not self.automatic_optimization:
            self._step_by_hand(batch)
        scalars = {name: loss.detach() for name in NAMES}
        if self.self_log or self.kind.self_log:
            for name, value in scalars.items():
                self.log(name, value)
        if self.kind.own_value and self.is_in:
            log(self, {"own": float(batch_idx)})
        return {"loss": loss} if self.kind.self_log else {"loss": loss, **scalars}

    def _step_by_hand(self, batch: torch.Tensor) -> None:
        optimizer = self.optimizers()
        for _ in range(self.kind.optimizer_steps):
            optimizer.zero_grad()
            self.manual_backward(self.net(batch).square().mean())
            optimizer.step()

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.01)
        if not self.kind.schedule:
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Empty(Callback):
    """The cost of any callback that Lightning calls at each step."""

    def on_train_batch_end(self, *_: object) -> None:
        """Do nothing."""


class Reads(Callback):
    """The cost of reading the same numbers: the scalars and the learning rate; of logging, where ``own_value``."""

    def __init__(self, kind: Kind) -> None:
        self.own_value, self.self_log = kind.own_value, kind.self_log

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: object) -> None:
        """Read them."""
        self.row = [value.item() for value in outputs.values()]
        if self.self_log:
            self.row += [value.item() for value in trainer.logged_metrics.values()]
        self.row.append(trainer.optimizers[0].param_groups[0]["lr"])
        if self.own_value:
            trainer.logger.log_metrics({"own": 0.5}, step=trainer.global_step)


class OwnLightningHook(Callback):
    """A user's callback, as Lightning has it."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: object) -> None:
        """Read the loss."""
        self.loss = float(outputs["loss"])


class OwnStepHook(PufferCallback):
    """The same as one of ours."""

    def on_step(self, trainer: Any, pl_module: Any, metrics: Any) -> None:
        """Read the loss."""
        self.loss = float(metrics["loss"])


class InTurns(Callback):
    """Takes the other callbacks out and puts them back, and times the turns.

    Args:
        self_log: whether the module's own ``self.log`` takes turns instead.
        on_device: whether the fit runs on a GPU.
    """

    def __init__(self, *, self_log: bool = False, on_device: bool = False) -> None:
        hide_idle_hooks(self)
        self._self_log, self._on_device = self_log, on_device
        self._ends: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._callbacks, self._hooks = trainer.callbacks, trainer.optimizers[0]._optimizer_step_post_hooks
        self._counters = dict(self._hooks)
        self._beside = 0.0 if self._on_device else time.thread_time() - time.process_time()

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % TURN == 0:
            self._ends.append(self._now())
            self._set(trainer, pl_module, is_in=batch_idx // TURN % 2 == 0)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._set(trainer, pl_module, is_in=True)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._beside += 0.0 if self._on_device else time.process_time() - time.thread_time()  # the writers have ended

    def _now(self) -> float:
        """Processor time; on a device, where autograd has a thread of its own, the clock once all is done."""
        if not self._on_device:
            return time.thread_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def _set(self, trainer: Trainer, module: Any, *, is_in: bool) -> None:
        trainer.callbacks = self._callbacks if is_in else [self]  # type: ignore[attr-defined]
        module.self_log = self._self_log and is_in
        module.is_in = is_in and len(self._callbacks) > 1 and not any(isinstance(c, Reads) for c in self._callbacks)
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


def fit(kind: Kind, callbacks: Sequence[Callback], device: str) -> None:
    """Train a small module."""
    batches = torch.utils.data.DataLoader(torch.randn(TURN * TURNS, 64, 4), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"logger": TensorBoardLogger(folder), "max_epochs": 1, **QUIET}
        settings |= {"accelerator": "gpu" if device == "cuda" else "cpu", "devices": 1}
        Trainer(callbacks=list(callbacks), accumulate_grad_batches=kind.accumulate, **settings).fit(
            Small(kind), batches
        )


def cost(
    kind: Kind, way: Callable[[], Sequence[Callback]], options: Any, *, self_log: bool = False
) -> tuple[float, float, float]:
    """Seconds of a step without, by how much longer it takes with the callbacks, and how sure that is (one sigma)."""
    without, more = [], []
    for _ in range(options.rounds):
        turns = InTurns(self_log=self_log, on_device=options.device == "cuda")
        fit(kind, [*way(), turns], options.device)
        without += turns.without
        more += turns.more
    return statistics.median(without), *trimmed(more)


def row(kind: Kind, options: Any) -> float:
    """Print a kind's row; the cost of ours, in seconds."""
    hooks = ([OwnLightningHook()], [OwnStepHook()]) if kind.own_hook else ([], [])
    bare, reads, sure = cost(kind, lambda: [Reads(kind), *hooks[0]], options)
    _, ours, sure_too = cost(kind, lambda: [MetricsCallback(every_n_steps=50), *hooks[1]], options)
    mark = "held" if ours <= BOUND * reads else "missed"
    cells = f"{1e6 * reads:.1f} ± {1e6 * sure:.1f} | {1e6 * ours:.1f} ± {1e6 * sure_too:.1f}"
    print(f"| {kind.name} | {1e6 * bare:.0f} | {cells} | {ours / reads:.2f} ({mark}) |", flush=True)
    return ours


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="fits of each way")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "puffer_callbacks"):
        logging.getLogger(name).setLevel(logging.ERROR)
    torch.set_num_threads(1)
    card = f", {torch.cuda.get_device_name()}" if options.device == "cuda" else ""
    print(f"Eight scalars a step, {options.rounds * (TURNS - 3) // 2} turns each, one torch thread{card}; µs a step")
    print("| training | bare step | a Lightning callback that reads them | `MetricsCallback` | ratio (bound 1.3) |")
    print("|---|---:|---:|---:|---:|")
    ours = [row(kind, options) for kind in KINDS]
    _, empty, _ = cost(KINDS[0], lambda: [Empty()], options)
    _, logged, _ = cost(KINDS[0], list, options, self_log=True)
    mark = "held" if logged >= SELF_LOG_BOUND * ours[0] else "missed"
    print(f"An empty callback takes {1e6 * empty:.1f} µs, eight `self.log` calls {1e6 * logged:.0f} µs:")
    print(f"{logged / ours[0]:.0f} times `MetricsCallback` (at least {SELF_LOG_BOUND}: {mark})")


if __name__ == "__main__":
    main()
