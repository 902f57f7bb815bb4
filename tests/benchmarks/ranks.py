"""What recording costs in communication: ``python -m tests.benchmarks.ranks`` prints the tables.

Real processes over gloo gather a rollout (``RolloutCallback``), fire histograms (``HistogramCallback``), and merge
those of a sharded model (``histograms_over_ranks``), by turns, beside an all-reduce of one number. With more processes
than cores they take turns on a core: processor time per rank is what each costs, all its threads counted, and wall
time is that of a machine that is too small. Medians over rounds.

Each collective is counted with its size where the code calls ``torch.distributed``. For more ranks than there are here
messages and bytes are computed from these sizes, as gloo's sources have it: its all-gather is a ring (each rank sends
W − 1 parts, in two messages each), its all-reduce twice such a ring over Wths of the whole, its gather is one message
to rank 0 from each, its broadcast a binomial tree (rank 0 sends log2 W messages, another rank at most one less).
"""

import argparse
import json
import math
import os
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from puffer_callbacks import HistogramCallback, MemoryLogger, Recorder, RolloutCallback
from puffer_callbacks.adapters import Loop
from puffer_callbacks.histogram.over_ranks import _TOTALS as TOTALS
from puffer_callbacks.histogram.over_ranks import histograms_over_ranks
from tests.support.models import random_rollout

STEPS, ENVS = 128, 8
"""Of a rollout of one rank."""
COLLECTIVES = ("all_reduce", "all_gather", "gather", "broadcast")
WORK = ("an all-reduce of one number", "a rollout is gathered", "histograms fire", "histograms of a sharded model")

Calls = list[tuple[str, int]]
"""The name of each collective, and the bytes of this rank's tensor."""


def network() -> nn.Module:
    """The reference PPO's size: 9 thousand parameters."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 64), nn.Linear(64, 3))


@contextmanager
def counted() -> Iterator[Calls]:
    """Every collective of the block."""
    calls: Calls = []
    originals = {name: getattr(dist, name) for name in COLLECTIVES}

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            tensor = args[1] if name == "all_gather" else args[0]
            calls.append((name, tensor.nbytes))
            return originals[name](*args, **kwargs)

        return call

    for name in COLLECTIVES:
        setattr(dist, name, wrapped(name))
    try:
        yield calls
    finally:
        for name, original in originals.items():
            setattr(dist, name, original)


def messages(calls: Calls, ranks: int) -> dict[str, tuple[int, int]]:
    """Messages and bytes that rank 0 receives, and that another rank sends at most, by the model above."""
    tree = math.ceil(math.log2(ranks))
    received, sent = [0, 0], [0, 0]
    for name, size in calls:
        parts = {
            "all_gather": ((2 * (ranks - 1), (ranks - 1) * size),) * 2,
            "all_reduce": ((4 * (ranks - 1), 2 * (ranks - 1) * math.ceil(size / ranks)),) * 2,
            "gather": ((ranks - 1, (ranks - 1) * size), (1, size)),
            "broadcast": ((0, 0), (tree - 1, (tree - 1) * size)),
        }[name]
        for total, (count, volume) in zip((received, sent), parts, strict=True):
            total[0] += count
            total[1] += volume
    return {"rank 0 receives": (received[0], received[1]), "a rank sends": (sent[0], sent[1])}


class Work:
    """The work of a round, on one rank."""

    def __init__(self, rank: int, ranks: int, loops: Sequence[Loop], models: Sequence[nn.Module]) -> None:
        self.ranks, self.rollouts, self.histograms = ranks, *loops
        self.rollout = random_rollout(rank, 0, steps=STEPS, envs=ENVS)
        self.weights = dict(models[0].named_parameters())
        self.optimizers = [torch.optim.SGD(model.parameters(), lr=0.0) for model in models]
        self.at = 0

    def prepare(self) -> None:
        """What belongs to the training itself."""
        self.at += 1
        rollout = replace(self.rollout, env_steps=self.at * STEPS * ENVS * self.ranks)
        for loop in (self.rollouts, self.histograms):
            loop.rollout_end(rollout)
        for optimizer in self.optimizers:
            for weight in optimizer.param_groups[0]["params"]:
                weight.grad = torch.ones_like(weight)
            optimizer.step()

    def each(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """What is measured, by name."""
        actions = (
            lambda: dist.all_reduce(torch.ones(1)),
            lambda: self.rollouts.step({}),
            lambda: self.histograms.step({}),
            lambda: histograms_over_ranks(self.weights, replicated=True),
        )
        return zip(WORK, actions, strict=True)


def measure(rank: int, ranks: int, folder: str, rounds: int) -> None:
    """One process: its processor and wall time of each work, and the collectives of the last round."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=ranks)
    models, times = (network(), network()), defaultdict[str, list[tuple[float, float]]](list)
    calls: dict[str, Calls] = {}
    with (
        Loop(MemoryLogger(), [Recorder(overhead_budget=1.0), RolloutCallback()]) as rollouts,
        Loop(MemoryLogger(), [Recorder(overhead_budget=1.0), HistogramCallback(1, gradients=False)]) as histograms,
    ):
        for loop, model in zip((rollouts, histograms), models, strict=True):
            loop.fit_start(model, {})
        work = Work(rank, ranks, (rollouts, histograms), models)
        for _ in range(rounds):
            work.prepare()
            for name, action in work.each():
                dist.barrier()
                began, processor = time.perf_counter(), time.process_time()
                with counted() as calls[name]:
                    action()
                times[name].append((time.process_time() - processor, time.perf_counter() - began))
        dist.barrier()
    medians = {
        name: [statistics.median(column) for column in zip(*each[1:], strict=True)] for name, each in times.items()
    }
    Path(folder, f"{rank}.json").write_text(json.dumps({"times": medians, "calls": calls}))
    dist.destroy_process_group()


def world(ranks: int, rounds: int) -> list[dict[str, Any]]:
    """The results of each rank."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(measure, (ranks, folder, rounds), nprocs=ranks, start_method="fork")
        return [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in range(ranks)]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--large", type=int, default=1024, help="ranks of which messages and bytes are computed")
    options = parser.parse_args()
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    found = {ranks: world(ranks, options.rounds) for ranks in options.ranks}
    print_times(found)
    print_messages(found, options.large)


def print_times(found: dict[int, list[dict[str, Any]]]) -> None:
    """Milliseconds, and how often those of the all-reduce and of the smallest world."""
    print("| work | processes | rank 0, processor | another rank, processor | wall | all-reduces (wall) | growth |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name in WORK:
        first = None
        for ranks, results in found.items():
            processor = [each["times"][name][0] for each in results]
            wall = max(each["times"][name][1] for each in results)
            unit = max(each["times"][WORK[0]][1] for each in results)
            others = statistics.median(processor[1:])
            first = first or others
            row = (f"{1e3 * processor[0]:.2f} ms", f"{1e3 * others:.2f} ms", f"{1e3 * wall:.1f} ms")
            print(f"| {name} | {ranks} | {' | '.join(row)} | {wall / unit:.1f} | {others / first:.1f} |", flush=True)


def print_messages(found: dict[int, list[dict[str, Any]]], large: int) -> None:
    """The collectives as they were called, and what they mean for many ranks."""
    columns = [*found, large]
    print(
        "\n| work | collectives | bytes of a rank | direction | " + " | ".join(f"{ranks:,} ranks" for ranks in columns)
    )
    print("|---|---|---:|---|" + "---:|" * len(columns))
    for name in WORK[1:]:
        calls = {ranks: results[-1]["calls"][name] for ranks, results in found.items()}
        calls[large] = [(kind, size + _growth(kind, large - max(found))) for kind, size in calls[max(found)]]
        listed = ", ".join(kind for kind, _ in calls[large])
        size = sum(size for _, size in calls[large])
        for direction in ("rank 0 receives", "a rank sends"):
            cells = [messages(calls[ranks], ranks)[direction] for ranks in columns]
            shown = " | ".join(f"{count:,}: {volume / 1e3:,.1f} kB" for count, volume in cells)
            print(f"| {name} | {listed} | {size:,} | {direction} | {shown} |")


def _growth(kind: str, more_ranks: int) -> int:
    """Bytes that a histogram of a sharded model grows by: each rank has a slot for its totals of each tensor."""
    return more_ranks * TOTALS * 8 * len(list(network().parameters())) if kind == "all_reduce" else 0


if __name__ == "__main__":
    main()
