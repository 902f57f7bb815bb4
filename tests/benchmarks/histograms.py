"""What histograms cost beside the peers: ``python -m tests.benchmarks.histograms`` prints the tables.

Each figure is a median over rounds; the rivals of a round run one after the other in one process, with two
torch threads, so that the machine's speed drifts out of the ratio.

The statistics by themselves: "ours" is the sketch, "wandb.watch" the hook that it registers, which puts the
statistics of each parameter into the run's row. All the way into the logger: "ours, in an event" beside
``SummaryWriter.add_histogram``, both handed to an event file; "ours, in a W&B row" beside "wandb.watch, logged",
both with the ``Run.log`` that commits the row. Peers know no other way than in the step; our rows go to the
loggers from a thread of their own, so a step waits for the first column only.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks.histogram import native
from puffer_callbacks.histogram.sketch import sketch
from puffer_callbacks.values import Histogram
from puffer_callbacks.writers.tensorboard import protobuf as wire
from puffer_callbacks.writers.tensorboard.histograms import encode_histograms
from puffer_callbacks.writers.tensorboard.records import append
from puffer_callbacks.writers.wandb.writer import MAX_BINS


def _layers(width: int, depth: int) -> list[tuple[int, ...]]:
    return [(width, width), (width,)] * depth


def _transformer(width: int, depth: int) -> list[tuple[int, ...]]:
    block = [(3 * width, width), (3 * width,), (width, width), (width,), (4 * width, width), (4 * width,)]
    return [*block, (width, 4 * width), *[(width,)] * 5] * depth


MODELS = {
    "9 thousand, 6 tensors": [(64, 4), (64,), (64, 64), (64,), (64, 64), (64,)],
    "1.2 million, 40 tensors": _layers(245, 20),
    "10 million, 24 tensors": _transformer(640, 2),
    "67 million, 18 tensors": [*_layers(4096, 4), *[(4096,)] * 10],
}
NAMES = (
    *("ours", "ours, in an event", "SummaryWriter", "tensorboardX", "Ignite", "wandb.watch"),
    *("ours, in a W&B row", "wandb.watch, logged", "torch.sum", "ours, not compiled"),
)
_STEPS_BETWEEN = 20
RATIOS = {
    "add_histogram / ours": ("SummaryWriter", "ours, in an event"),
    "wandb.watch / ours": ("wandb.watch", "ours"),
    "the same, logged": ("wandb.watch, logged", "ours, in a W&B row"),
    "ours / sum": ("ours", "torch.sum"),
    "not compiled / ours": ("ours, not compiled", "ours"),
}


class Bare(nn.Module):
    """Parameters, and a forward pass that costs nothing."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor))

    def forward(self) -> None:
        """Only for the hooks."""


def event(histograms: dict[str, Histogram]) -> bytes:
    """All histograms as one event, as ``TensorBoardWriter`` writes them."""
    return wire.event(1, time.time(), encode_histograms(histograms))


def row(histograms: dict[str, Histogram]) -> dict[str, object]:
    """All histograms as a row of W&B, as ``WandbWriter`` writes them."""
    import wandb

    return {tag: wandb.Histogram(np_histogram=histogram.coarsened(MAX_BINS)) for tag, histogram in histograms.items()}


def not_compiled(tensors: dict[str, Tensor]) -> None:
    """The sketch where there was no compiler when the package was built."""
    native.IS_COMPILED, before = False, native.IS_COMPILED
    try:
        sketch(tensors)
    finally:
        native.IS_COMPILED = before


@contextmanager
def quiet() -> Iterator[None]:
    """Swallow what the peers print."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def rivals(
    tensors: dict[str, Tensor], folder: Path
) -> tuple[dict[str, Callable[[], object]], dict[str, Callable[[], object]]]:
    """Each way to log, as a call without arguments; and for those that write, one that waits for the writer."""
    import wandb
    from ignite.engine import Engine, Events
    from ignite.handlers.tensorboard_logger import TensorboardLogger, WeightsHistHandler
    from tensorboardX import SummaryWriter as RivalWriter

    ours, torchs = SummaryWriter(str(folder / "ours")), SummaryWriter(str(folder / "torch"))
    rival, logger = RivalWriter(str(folder / "rival")), TensorboardLogger(log_dir=folder / "ignite")
    run = wandb.run or wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
    module, watched = Bare(tensors), Bare(tensors)
    wandb.watch(watched, log="parameters", log_freq=1)
    engine, handler = Engine(lambda *_: None), WeightsHistHandler(module)
    writers = {"ours, in an event": ours, "SummaryWriter": torchs, "tensorboardX": rival, "Ignite": logger.writer}
    calls: dict[str, Callable[[], object]] = {
        "ours": lambda: sketch(tensors),
        "ours, in an event": lambda: append(ours._get_file_writer().event_writer, event(sketch(tensors))),
        "SummaryWriter": lambda: [torchs.add_histogram(name, tensor, 1) for name, tensor in tensors.items()],
        "tensorboardX": lambda: [rival.add_histogram(name, tensor, 1) for name, tensor in tensors.items()],
        "Ignite": lambda: handler(engine, logger, Events.ITERATION_COMPLETED),
        "wandb.watch": watched,
        "ours, in a W&B row": lambda: run.log(row(sketch(tensors))),
        "wandb.watch, logged": lambda: (watched(), run.log({})),
        "ours, not compiled": lambda: not_compiled(tensors),
        "torch.sum": lambda: [tensor.sum() for tensor in tensors.values()],
    }
    return calls, {name: writer.flush for name, writer in writers.items()}


def training_step() -> Callable[[], object]:
    """A step of Adam on a small network, about a millisecond."""
    net = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 2))
    optimizer, batch = torch.optim.Adam(net.parameters()), torch.randn(256, 4)

    def step() -> None:
        optimizer.zero_grad()
        net(batch).square().mean().backward()
        optimizer.step()

    return step


def medians(
    calls: dict[str, Callable[[], object]],
    settle: dict[str, Callable[[], object]],
    seconds: float,
    *,
    in_a_row: int,
) -> dict[str, float]:
    """The median seconds of each call, taken in rounds until the time is used, at least nine of them.

    After each call its writer's thread is let to finish, and before the next one's turn a small network is trained for
    some steps, outside of what is measured: W&B's process gets done meanwhile.

    Args:
        calls: by name.
        settle: waits for the writer, for those that have one.
        seconds: how long to go on.
        in_a_row: how often a rival is called before it is the next one's turn; the first is not counted.
    """
    taken: dict[str, list[float]] = {name: [] for name in calls}
    names, shuffled, step = list(calls), random.Random(0), training_step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken["ours"]) < 10:
        shuffled.shuffle(names)
        for name in names:
            for _ in range(_STEPS_BETWEEN):
                step()
            for at in range(in_a_row):
                began = time.perf_counter()
                calls[name]()
                took = time.perf_counter() - began
                settle.get(name, bool)()
                if at or in_a_row == 1:
                    taken[name].append(took)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


MODES = {
    "Called again and again: what the code takes by itself": {"in_a_row": 5},
    "Called once between training steps, which have filled the processor's caches": {"in_a_row": 1},
}


def speed(seconds: float) -> None:
    """Print the tables of speed."""
    for title, mode in MODES.items():
        print(f"\n{title}\n\n| parameters | " + " | ".join([*NAMES, *RATIOS]) + " |")
        print("|---" * (1 + len(NAMES) + len(RATIOS)) + "|")
        for model, shapes in MODELS.items():
            tensors = {f"layer{i}": torch.randn(shape) / shape[-1] ** 0.5 for i, shape in enumerate(shapes)}
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, quiet():
                took = medians(*rivals(tensors, Path(folder)), seconds, **mode)
            cells = [f"{took[name] * 1e3:.3f} ms" for name in NAMES]
            ratios = [took[above] / took[below] for above, below in RATIOS.values()]
            print(f"| {model} | " + " | ".join([*cells, *(f"{ratio:.1f}" for ratio in ratios)]) + " |", flush=True)


def bytes_in_file() -> None:
    """Print the bytes of a histogram in the event file."""
    from torch.utils.tensorboard.summary import histogram

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        default_bins = writer.default_bins
    normal = torch.randn(1 << 20)
    kinds = {
        "normal, 64": normal[:64],
        "normal, 4096": normal[:4096],
        "normal, a million": normal,
        "uniform, a million": torch.rand(1 << 20) * 2 - 1,
        "ReLU, 65536": normal[:65536].relu(),
        "gradients of 1e-4, 65536": normal[:65536] * 1e-4,
        "zeros, 64": torch.zeros(64),
        "ones, 64": torch.ones(64),
    }
    print("\n| tensor | bytes | add_histogram |\n|---|---|---|")
    for kind, tensor in kinds.items():
        mine = len(encode_histograms(sketch({"tag": tensor})))
        print(f"| {kind} | {mine} | {histogram('tag', tensor.numpy(), default_bins).ByteSize()} |")


_MEMORY = """
import torch
from puffer_callbacks.histogram.sketch import sketch
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024
torch.set_num_threads(2)
sketch({"warm": torch.randn(1 << 21)})
tensors = {str(i): torch.randn(4096, 4096) for i in range(4)}
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
sketch(tensors)
print(f"{status('VmHWM') - before:.0f} MB more at the peak for 67 million parameters")
"""


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each model")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    speed(arguments.seconds)
    bytes_in_file()
    print("\n" + subprocess.run([sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
