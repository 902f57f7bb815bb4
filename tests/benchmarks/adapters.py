"""What the adapters cost: ``python -m tests.benchmarks.adapters [NAME …]`` prints the times with over those without.

Each trainer runs with and without its adapter at once, in turns of some optimizer steps (see
``tests.benchmarks.turns``), in one process with one torch thread: with all default callbacks, TensorBoard and, for
PuffeRL, W&B offline. A tenth of the differences at either end is left out. ``empty`` is a loop without callbacks around
the updates of a DQN, ``dqn_loop`` one with all of them: there four updates with the loop are followed by four without,
and blocks of a hundred each are compared. Hooks that the adapters leave with all optimizers cost the bare run a
microsecond, too.

``--settled`` compares the second half of runs five times as long, once the overhead budget has widened what it can, in
windows of half a second instead of ten.
"""

import argparse
import contextlib
import io
import logging
import math
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import TensorBoardLogger, WandbLogger
from torch.optim.optimizer import _global_optimizer_pre_hooks

from puffer_callbacks import Recorder, default_callbacks
from puffer_callbacks.overhead import budget
from tests.benchmarks.turns import compare, in_turns, trimmed

ROUNDS = 4
LONGER = 5
"""How much longer runs are that settle first."""
TURN, TURNS, BLOCKS = 4, 25, 41
"""Updates of a turn, turns of each way in a block, and blocks of a round; the first begins all."""


class Settled:
    """Whether runs are compared after the budget has widened intervals."""

    wanted = False


def callbacks() -> list[Any]:
    """The default callbacks; in a run that settles with half a budget, as its time is half that of the other run."""
    return [*default_callbacks(), *([Recorder(overhead_budget=0.015)] if Settled.wanted else [])]


def length(steps: int) -> int:
    """The environment steps of a run."""
    return steps * LONGER if Settled.wanted else steps


def alternate(name: str, rounds: int, run: Callable[[bool], object], *, steps: int) -> None:
    """Run both in turns of some optimizer steps, the first of a round in turn too, and print a line."""
    shares, errors, bare = [], [], []
    for at in range(rounds):
        fits: dict[str, Callable[[], object]] = {"run": lambda: run(True), "bare": lambda: run(False)}
        names = sorted(fits, reverse=bool(at % 2))
        turns, beside = in_turns({name: fits[name] for name in names}, steps=steps)
        if Settled.wanted:
            turns, beside = {kind: each[len(each) // 2 :] for kind, each in turns.items()}, beside / 2
        share, error = compare(turns, beside)
        shares.append(share)
        errors.append(error)
        bare.append(statistics.median(turns["bare"][1:-1]) / steps)
    print_row(name, shares, math.hypot(*errors) / rounds, statistics.median(bare))


def print_row(name: str, shares: Sequence[float], error: float, step: float) -> None:
    """A line of the table.

    Args:
        name: of the trainer.
        shares: by which the runs with callbacks take longer.
        error: the standard error of their mean.
        step: seconds of a bare optimizer step, with all that belongs to it.
    """
    each = " ".join(f"{1 + share:.3f}" for share in shares)
    print(f"| {name} | {1 + statistics.fmean(shares):.3f} ± {error:.3f} | {each} | {1e6 * step:,.0f} µs |", flush=True)


def pufferl(rounds: int) -> None:
    """Updates of two trainers that live side by side, one with callbacks; processor time of all threads."""
    from puffer_callbacks.adapters import PuffeRLBridge
    from tests.adapters.puffer import make_trainer

    folder = tempfile.mkdtemp()
    size = {"num_envs": 32, "bptt_horizon": 64, "minibatch_size": 512, "max_minibatch_size": 512}
    with quiet():
        trainers = {recorded: make_trainer(folder, total_timesteps=10**8, **size) for recorded in (False, True)}
        loggers = [TensorBoardLogger(folder), WandbLogger(project="bench", offline=True, save_dir=folder)]
        bridge = PuffeRLBridge(loggers, default_callbacks())
        bridge.attach(trainers[True])
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for at in range(100 * rounds + 1):
            for recorded in (False, True) if at % 2 else (True, False):
                began = time.process_time()
                trainers[recorded].evaluate()
                trainers[recorded].train()
                seconds[recorded].append(time.process_time() - began)
        bridge.detach()
        for trainer in trainers.values():
            trainer.utilization.stop()
    share, error = compare({"run": seconds[True], "bare": seconds[False]}, beside=0.0)  # it is in their own time
    print_row("PuffeRL, CartPole", [share], error, trimmed(seconds[False])[0] / 4)


def loop(rounds: int) -> None:
    """CleanRL's PPO on CartPole."""
    from puffer_callbacks.adapters import Loop
    from tests.adapters import cleanrl

    def run(recorded: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            loop = Loop(TensorBoardLogger(folder), callbacks()) if recorded else None
            cleanrl.train(loop, total_timesteps=length(65_536), num_envs=8, num_steps=128, update_epochs=4)

    alternate("Loop, PPO in CleanRL's style", rounds, run, steps=16)


def stable_baselines(name: str, env: str, total: int, *, steps: int, **arguments: Any) -> Callable[[int], None]:
    """A Stable-Baselines3 algorithm."""

    def run_both(rounds: int) -> None:
        import stable_baselines3

        from puffer_callbacks.adapters import SB3Bridge

        def run(recorded: bool) -> None:
            model = getattr(stable_baselines3, name)("MlpPolicy", env, seed=1, device="cpu", **arguments)
            with tempfile.TemporaryDirectory() as folder:
                bridge = SB3Bridge(TensorBoardLogger(folder), callbacks()) if recorded else None
                model.learn(length(total), callback=bridge)

        alternate(f"Stable-Baselines3 {name}, {env}", rounds, run, steps=steps)

    return run_both


def empty(rounds: int) -> None:
    """CleanRL's DQN update on CartPole, with a loop without callbacks."""
    from puffer_callbacks.adapters import Loop

    compare_updates("Loop without callbacks, DQN updates", lambda: Loop([], []), rounds)


def dqn_loop(rounds: int) -> None:
    """The same with all default callbacks."""
    from puffer_callbacks.adapters import Loop

    folder = tempfile.mkdtemp()
    compare_updates("Loop, DQN updates", lambda: Loop(log_dir=folder), rounds)


def compare_updates(name: str, make_loop: Callable[[], Any], rounds: int) -> None:
    """Updates of one network, a few with the loop and a few without in turn; what opens and closes it is left out.

    The times are compared in blocks; that of the writers' threads is charged to the loop.
    """
    network, optimizer, update = dqn()
    shares: list[float] = []
    steps: list[float] = []
    for _ in range(rounds):
        loop = make_loop()
        loop.fit_start(network, {"gamma": 0.99})
        update(loop)
        hooks, beside = Hooks(optimizer), time.thread_time() - time.process_time()
        blocks = [updates_in_turn(update, loop, hooks) for _ in range(BLOCKS)]
        hooks.set(True)
        loop.close()
        beside += time.process_time() - time.thread_time()
        bare = statistics.median(without for without, _ in blocks)
        shares += [(recorded - without + beside / BLOCKS) / bare for without, recorded in blocks[1:]]
        steps.append(bare / (TURN * TURNS))
    share, error = trimmed(shares)
    print_row(name, [share], error, statistics.median(steps))


def updates_in_turn(update: Callable[[Any], None], loop: Any, hooks: "Hooks") -> tuple[float, float]:
    """Processor seconds of a block's updates without the loop, and with it."""
    seconds = {False: 0.0, True: 0.0}
    for _ in range(TURNS):
        for recorded in seconds:
            hooks.set(recorded)
            began = time.thread_time()
            for _ in range(TURN):
                update(loop if recorded else None)
            seconds[recorded] += time.thread_time() - began
    return seconds[False], seconds[True]


class Hooks:
    """The hooks that a loop has at an optimizer and its parameters, taken off and put back."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._taken_off: list[tuple[Any, dict[int, Any]]] = []

    def set(self, recorded: bool) -> None:
        """Put them back, or take them off."""
        if recorded:
            for hooks, content in self._taken_off:
                hooks.update(content)
            self._taken_off = []
        elif not self._taken_off:
            self._taken_off = [(hooks, dict(hooks)) for hooks in self._all()]
            for hooks, _ in self._taken_off:
                hooks.clear()

    def _all(self) -> list[Any]:
        optimizer = self._optimizer
        each = [p._post_accumulate_grad_hooks for group in optimizer.param_groups for p in group["params"]]
        own = (optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks)
        return [*own, _global_optimizer_pre_hooks, *filter(None, each)]


def dqn() -> tuple[torch.nn.Module, torch.optim.Optimizer, Callable[[Any], None]]:
    """CleanRL's network for CartPole, its optimizer, and an update."""
    nn = torch.nn
    network, target = (
        nn.Sequential(nn.Linear(4, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 2)) for _ in range(2)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=2.5e-4)
    observations, rewards = torch.randn(128, 4), torch.randn(128)
    actions, dones = torch.randint(0, 2, (128, 1)), torch.zeros(128)

    def update(loop: Any) -> None:
        with torch.no_grad():
            td_target = rewards + 0.99 * target(observations).max(dim=1)[0] * (1 - dones)
        loss = nn.functional.mse_loss(td_target, network(observations).gather(1, actions).squeeze())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loop is not None:
            loop.step({"td_loss": loss})

    return network, optimizer, update


def transformers(rounds: int) -> None:
    """``transformers.Trainer`` on a GPT-2 of two layers."""
    import transformers as hf

    from puffer_callbacks.adapters import TransformersCallback

    hf.logging.set_verbosity_error()
    config = hf.GPT2Config(vocab_size=256, n_positions=64, n_embd=64, n_layer=2, n_head=2)
    tokens = torch.randint(0, 256, (512, 64))
    data = [{"input_ids": row, "labels": row} for row in tokens]

    def run(recorded: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            options = {"max_steps": 300, "per_device_train_batch_size": 8, "logging_steps": 10}
            quiet_options = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no"}
            arguments = hf.TrainingArguments(folder, **options, **quiet_options)
            callbacks = [TransformersCallback(TensorBoardLogger(folder))] if recorded else []
            trainer = hf.Trainer(hf.GPT2LMHeadModel(config), arguments, train_dataset=data, callbacks=callbacks)
            trainer.remove_callback(hf.PrinterCallback)
            trainer.train()

    alternate("transformers.Trainer, GPT-2 of two layers", rounds, run, steps=10)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without PufferLib's dashboard."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


COMPARISONS: dict[str, Callable[[int], None]] = {
    "empty": empty,
    "dqn_loop": dqn_loop,
    "loop": loop,
    "ppo": stable_baselines("PPO", "CartPole-v1", 40_000, steps=160, n_steps=1024),
    "a2c": stable_baselines("A2C", "CartPole-v1", 16_000, steps=50),
    "dqn": stable_baselines("DQN", "CartPole-v1", 40_000, steps=50, learning_starts=100),
    "sac": stable_baselines("SAC", "Pendulum-v1", 1500, steps=60),
    "transformers": transformers,
    "pufferl": pufferl,  # the last: importing PufferLib changes the process
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--settled", action="store_true", help="after the budget has widened intervals")
    options = parser.parse_args()
    Settled.wanted = options.settled
    if options.settled:
        budget.WINDOW_SECONDS = 0.5
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    os.environ["WANDB_SILENT"] = "true"
    os.chdir(Path(tempfile.mkdtemp()))
    print("| trainer | time with / without | each round | bare optimizer step |\n|---|---:|---|---:|")
    for name, comparison in COMPARISONS.items():
        if not options.names or name in options.names:
            comparison(options.rounds)


if __name__ == "__main__":
    main()
