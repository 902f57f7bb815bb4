"""The cost of eight scalars a step: ``python -m tests.benchmarks.scalars`` prints a table for eight kinds of training.

It is microseconds, and two fits of the same code differ by more. So one fit does both: every few steps its trainer has
the callbacks, or none, and these are compared in blocks, which hold several rows. Times are processor time of the
training thread; that of all other threads, such as writers, is charged to ours. A tenth of the blocks at either end is
left out. One torch thread.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import MetricsCallback, PufferCallback, Recorder, Rollout, emit, log
from puffer_callbacks.recorder.idle_hooks import hide_idle_hooks
from tests.benchmarks.cost import QUIET
from tests.benchmarks.turns import trimmed

TURN, TURNS, BLOCKS = 4, 25, 41
"""Steps of a turn, turns of each way in a block, and blocks of a fit; the first begins all."""
INTERVAL = 50
"""Optimizer steps between the rows of ``MetricsCallback``: two rows in each block, and eight or every second time one
where a training step has four optimizer steps or a fourth of one."""
ROLLOUT = 15 * TURN
"""Steps between rollouts: every second one ends in a turn with the callbacks."""
NAMES = tuple(f"scalar_{at}" for at in range(8))
BOUND, SELF_LOG_BOUND = 1.3, 50


@dataclass(frozen=True)
class Kind:
    """A kind of training.

    Args:
        name: in the table.
        schedule: whether the learning rate changes at each step.
        rollouts: whether a rollout ends every 60 steps, and rows are on environment steps.
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
        self.kind, self.uses_self_log, self.uses_log = kind, False, False
        self.automatic_optimization = kind.optimizer_steps == 1
        if kind.rollouts:
            self.env_steps = 64
            self.rollout = Rollout(*[torch.zeros(8, 8)] * 4, episode_returns=torch.ones(3), env_steps=64)

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> dict[str, torch.Tensor]:
        if self.kind.rollouts and batch_idx % ROLLOUT == 0:
            self.env_steps += 64
            emit(self, "on_rollout_end", self.rollout)
        loss = self.net(batch).square().mean()
        if not self.automatic_optimization:
            self._step_by_hand(batch)
        scalars = {name: loss.detach() for name in NAMES}
        if self.uses_self_log or self.kind.self_log:
            for name, value in scalars.items():
                self.log(name, value)
        if self.kind.own_value and self.uses_log:
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
    """Gives the trainer one way's callbacks after the other's, and times the turns.

    Args:
        ways: callbacks by the way's name; ``"bare"`` has none, and in ``"self.log"`` the module logs by itself.
        on_device: whether the fit runs on a GPU.
    """

    def __init__(self, ways: dict[str, list[Callback]], *, on_device: bool) -> None:
        hide_idle_hooks(self)
        self._ways, self._on_device = ways, on_device
        self._ends: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: Any) -> None:
        self._all, self._hooks = trainer.callbacks, trainer.optimizers[0]._optimizer_step_post_hooks
        ours = [callback for callback in self._all if isinstance(callback, Recorder)]
        self._callbacks = {name: [*way, *(ours if name == "ours" else []), self] for name, way in self._ways.items()}
        self._counters = dict(self._hooks)
        self._beside = 0.0 if self._on_device else time.thread_time() - time.process_time()

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % TURN == 0:
            self._ends.append(self._now())
            name = list(self._ways)[batch_idx // TURN % len(self._ways)]
            self._begin(trainer, pl_module, name, self._callbacks[name])

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self._begin(trainer, pl_module, "ours", self._all)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        self._beside += 0.0 if self._on_device else time.process_time() - time.thread_time()  # the writers have ended

    def _now(self) -> float:
        """Processor time; on a device, where autograd has a thread of its own, the clock once all is done."""
        if not self._on_device:
            return time.thread_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def _begin(self, trainer: Trainer, module: Any, name: str, callbacks: list[Callback]) -> None:
        trainer.callbacks = callbacks  # type: ignore[attr-defined]
        module.uses_self_log, module.uses_log = name == "self.log", name == "ours"
        self._hooks.clear()
        self._hooks.update(self._counters if name == "ours" else {})

    @property
    def seconds(self) -> dict[str, list[float]]:
        """Seconds of a step, by way and block."""
        turns = [after - before for before, after in pairwise(self._ends)]
        size = TURNS * len(self._ways)
        blocks = [turns[at : at + size] for at in range(size, len(turns), size)]
        found = {
            name: [sum(block[at :: len(self._ways)]) / (TURN * TURNS) for block in blocks]
            for at, name in enumerate(self._ways)
        }
        if "ours" in found:
            found["ours"] = [each + self._beside / (TURN * TURNS * BLOCKS) for each in found["ours"]]
        return found


def fit(kind: Kind, ways: dict[str, list[Callback]], device: str) -> dict[str, list[float]]:
    """Train a small module; the seconds of a step, by way and block."""
    batches = torch.utils.data.DataLoader(torch.randn(TURN * TURNS * BLOCKS * len(ways) + 1, 64, 4), batch_size=None)
    turns = InTurns(ways, on_device=device == "cuda")
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {"logger": TensorBoardLogger(folder), "max_epochs": 1, **QUIET}
        settings |= {"accelerator": "gpu" if device == "cuda" else "cpu", "devices": 1}
        callbacks = [*chain.from_iterable(ways.values()), turns]
        Trainer(callbacks=callbacks, accumulate_grad_batches=kind.accumulate, **settings).fit(Small(kind), batches)
    return turns.seconds


def costs(kind: Kind, ways: dict[str, Callable[[], list[Callback]]], options: Any) -> dict[str, tuple[float, float]]:
    """Seconds by which a step takes longer than a bare one, by way, each with its standard error; and the bare step.

    Each way has fits of its own, as ours changes what loggers do. What it costs is measured in bare steps of the same
    fit: the machine's speed changes from one fit to the next.
    """
    shares: dict[str, list[float]] = {name: [] for name in ways}
    bare: list[float] = []
    for _ in range(options.rounds):
        for name, way in ways.items():
            seconds = fit(kind, {"bare": [], name: way()}, options.device)
            bare += seconds["bare"]
            step, _ = trimmed(seconds["bare"])
            shares[name] += [(a - b) / step for a, b in zip(seconds[name], seconds["bare"], strict=True)]
    step, error = trimmed(bare)
    found = {name: trimmed(each) for name, each in shares.items()}
    return {"bare": (step, error), **{name: (step * share, step * error) for name, (share, error) in found.items()}}


def row(kind: Kind, options: Any) -> float:
    """Print a kind's row; the cost of ours, in seconds."""

    def reads() -> list[Callback]:
        return [Reads(kind), *([OwnLightningHook()] if kind.own_hook else [])]

    def ours() -> list[Callback]:
        return [MetricsCallback(every_n_steps=INTERVAL), *([OwnStepHook()] if kind.own_hook else [])]

    found = costs(kind, {"reads": reads, "ours": ours}, options)
    ratio = found["ours"][0] / found["reads"][0]
    cells = " | ".join(f"{1e6 * found[name][0]:.1f} ± {1e6 * found[name][1]:.1f}" for name in ("reads", "ours"))
    mark = "held" if ratio <= BOUND else "missed"
    print(f"| {kind.name} | {1e6 * found['bare'][0]:.0f} | {cells} | {ratio:.2f} ({mark}) |", flush=True)
    return found["ours"][0]


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
    steps = options.rounds * (BLOCKS - 1) * TURN * TURNS
    print(f"Eight scalars a step, {steps:,} steps each, one torch thread{card}; µs a step")
    print("| training | bare step | a Lightning callback that reads them | `MetricsCallback` | ratio (bound 1.3) |")
    print("|---|---:|---:|---:|---:|")
    ours = [row(kind, options) for kind in KINDS]
    found = costs(KINDS[0], {"empty": lambda: [Empty()], "self.log": list}, options)
    empty, logged = found["empty"][0], found["self.log"][0]
    mark = "held" if logged >= SELF_LOG_BOUND * ours[0] else "missed"
    print(f"An empty callback takes {1e6 * empty:.1f} µs, eight `self.log` calls {1e6 * logged:.0f} µs:")
    print(f"{logged / ours[0]:.0f} times `MetricsCallback` (at least {SELF_LOG_BOUND}: {mark})")


if __name__ == "__main__":
    main()
