"""What histograms cost beside the peers: ``python -m tests.benchmarks.histograms [--device cuda] [--seconds 20]``.

The ways take turns in one process with two torch threads. Each cell is a median: milliseconds by the clock, and of the
processor over all threads, which a busy machine disturbs less, but which takes our two threads for no gain. Bounds are
judged by the clock.

- of_all: ``Histogram.of_all`` of all tensors. as an event: the same, written to an event file. callback: a step of
  ``Loop`` in which ``HistogramCallback`` fires; its event is written by a thread, whose processor time counts.
- add_histogram: ``SummaryWriter.add_histogram`` for each tensor; its event file is written by a thread too.
- wandb.watch: the hook that it registers, which puts the statistics of each parameter into the run's row.
- sum: ``torch.sum`` of each tensor, about the price of reading it. no kernel: ``of_all`` without the compiled kernel.
"""

import argparse
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from puffer_callbacks import Axes, Histogram, HistogramCallback, writer_for
from puffer_callbacks.adapters import Loop
from puffer_callbacks.histogram import native


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


Calls = dict[str, Callable[[], object]]


class Bound(NamedTuple):
    """A ratio that is to hold for each model.

    Attributes:
        above: the way whose time is divided.
        below: the way whose time it is divided by.
        limits: for each model the least ratio, or where negative the most; ``None`` for none.
    """

    above: str
    below: str
    limits: tuple[float | None, ...]


BOUNDS = [
    Bound("add_histogram", "as an event", (30, 40, 40, 40)),
    Bound("add_histogram", "callback", (30, 40, 40, 40)),
    Bound("wandb.watch", "of_all", (50, 30, 15, 20)),
    Bound("of_all", "sum", (None, None, -4, -4)),
    Bound("of, one tensor", "of_all", (None, None, -1.3, None)),
    Bound("no kernel", "of_all", (None, None, None, None)),
]


class Always(HistogramCallback):
    """Fires at each step, whatever it costs."""

    expensive = False


class Bare(nn.Module):
    """Parameters, and a forward pass that costs nothing."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_parameter(name, nn.Parameter(tensor))

    def forward(self) -> None:
        """Only for the hooks."""


def without_kernel(tensors: dict[str, Tensor]) -> None:
    """``of_all`` as it is where the package was built without a compiler."""
    native.IS_COMPILED, before = False, native.IS_COMPILED
    try:
        Histogram.of_all(tensors)
    finally:
        native.IS_COMPILED = before


def callback_step(tensors: dict[str, Tensor], loop: Loop) -> tuple[Callable[[], object], Callable[[], object]]:
    """The optimizer's step that comes before, and a step of a loop in which the callback fires."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.0)
    loop.fit_start(Bare(tensors), {}, optimizers=optimizer)
    return optimizer.step, lambda: loop.step({})


def ways(tensors: dict[str, Tensor], folder: Path, stack: contextlib.ExitStack) -> tuple[Calls, Calls]:
    """Each way as a call without arguments, and what comes before a call, outside of what is measured."""
    peer = stack.enter_context(SummaryWriter(str(folder / "torch")))
    writer = writer_for(TensorBoardLogger(folder / "ours"))
    loop = stack.enter_context(Loop(TensorBoardLogger(folder / "callback"), Always(1, gradients=False)))
    optimizer_step, fire = callback_step(tensors, loop)
    device, numbers = next(iter(tensors.values())).device, sum(tensor.numel() for tensor in tensors.values())
    whole = torch.randn(numbers, device=device)
    calls: Calls = {
        "of_all": lambda: Histogram.of_all(tensors),
        "as an event": lambda: writer.write(Histogram.of_all(tensors), Axes(None, 1, time.time())),
        "callback": fire,
        "add_histogram": lambda: [peer.add_histogram(name, tensor, 1) for name, tensor in tensors.items()],
        "sum": lambda: [tensor.sum() for tensor in tensors.values()],
        "of, one tensor": lambda: Histogram.of(whole),
    }
    if find_spec("wandb"):
        import wandb

        wandb.run or wandb.init(mode="offline", dir=folder, settings=wandb.Settings(silent=True))
        calls["wandb.watch"] = watched = Bare(tensors)
        wandb.watch(watched, log="parameters", log_freq=1)
    if device.type == "cpu":
        calls["no kernel"] = lambda: without_kernel(tensors)
    return calls, {"callback": optimizer_step, "add_histogram": peer.flush}


def measure(calls: Calls, prepare: Calls, seconds: float, *, wait: Callable[[], object]) -> dict[str, list[float]]:
    """The median milliseconds of each call by the clock and of the processor, in rounds until the time is used.

    Args:
        calls: by name.
        prepare: what to call before each, for those that need it.
        seconds: how long to go on; nine rounds at least.
        wait: waits for the device, at the end of each call.
    """
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    names, shuffled = list(calls), random.Random(0)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken["of_all"]) < 10:
        shuffled.shuffle(names)
        for name in names:
            for at in range(3):  # the first one has the caches of another way
                prepare.get(name, bool)()
                wait()
                began = time.perf_counter(), time.process_time()
                calls[name]()
                wait()
                ended = time.perf_counter(), time.process_time()
                taken[name] += [((ended[0] - began[0]) * 1e3, (ended[1] - began[1]) * 1e3)] * bool(at)
    return {name: [statistics.median(kind) for kind in zip(*times[2:], strict=True)] for name, times in taken.items()}


def judged(ratio: float, limit: float | None) -> str:
    """A ratio and whether its bound holds.

    Example:
        >>> judged(45.0, 40), judged(1.52, -1.3), judged(2.0, None)
        ('45.0 (≥ 40: held)', '1.5 (≤ 1.3: MISSED)', '2.0')
    """
    if limit is None:
        return f"{ratio:.1f}"
    is_held = ratio >= limit if limit > 0 else ratio <= -limit
    return f"{ratio:.1f} ({'≥' if limit > 0 else '≤'} {abs(limit):g}: {'held' if is_held else 'MISSED'})"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow what the peers print."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def speed(device: str, seconds: float) -> None:
    """Print a table for each model, and its ratios."""
    wait = torch.cuda.synchronize if device == "cuda" else bool
    for at, (model, shapes) in enumerate(MODELS.items()):
        tensors = {f"layer{i}": torch.randn(s, device=device) / s[-1] ** 0.5 for i, s in enumerate(shapes)}
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            quiet(),
            contextlib.ExitStack() as stack,
        ):
            took = measure(*ways(tensors, Path(folder), stack), seconds, wait=wait)
        print(f"\n{model} on {device}\n\n| way | clock | processor |\n|---|---:|---:|")
        for name, (clock, processor) in took.items():
            print(f"| {name} | {clock:.3f} ms | {processor:.3f} ms |")
        print("\n| ratio | clock | processor |\n|---|---|---:|")
        for above, below, limits in BOUNDS:
            if {above, below} <= set(took):
                clock, processor = (took[above][kind] / took[below][kind] for kind in (0, 1))
                limit = limits[at] if device == "cpu" else None
                print(f"| {above} / {below} | {judged(clock, limit)} | {processor:.1f} |", flush=True)


_MEMORY = """
import torch
from puffer_callbacks import Histogram
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key)) / 1024
torch.set_num_threads(2)
Histogram.of(torch.randn(1 << 21))
tensors = {str(i): torch.randn(4096, 4096) for i in range(4)}
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
Histogram.of_all(tensors)
print(f"{status('VmHWM') - before:.0f} MB more at the peak for 67 million parameters on the host")
"""


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the tensors are")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to measure each model")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(0)
    if arguments.device == "cuda":
        print(torch.cuda.get_device_name())
    speed(arguments.device, arguments.seconds)
    print("\n" + subprocess.run([sys.executable, "-c", _MEMORY], check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
