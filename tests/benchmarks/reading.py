"""How long it takes to read a run back: ``python -m tests.benchmarks.reading`` prints the table.

The same event files are read by ``read_run`` and by TensorBoard's own ``EventAccumulator``, one after the other, a few
times; the fastest of each counts. Every step and every value must be the same. One process, one thread.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from puffer_callbacks.runs import read_run
from tests.support.reading import accumulator

ROW = 20
"""Values of a row, and tags of a run."""


def write(folder: Path, points: int, *, values_per_event: int) -> None:
    """An event file with so many scalar points, in rows or one by one, as torch's writer has them."""
    writer = EventFileWriter(str(folder), max_queue_size=1000)
    tags = [f"train/scalar_{at}" for at in range(ROW)]
    numbers = np.random.default_rng(0).normal(size=points)
    for first in range(0, points, values_per_event):
        row = numbers[first : first + values_per_event]
        values = [Summary.Value(tag=tags[(first + at) % ROW], simple_value=value) for at, value in enumerate(row)]
        writer.add_event(Event(wall_time=1.7e9 + first, step=first // ROW, summary=Summary(value=values)))
    writer.close()


CASES = {"rows of 20 values": ROW, "one value an event": 1}
"""Values of an event: our rows, and the way of torch's ``SummaryWriter``."""


def fastest(read: Callable[[], Any], rounds: int) -> tuple[float, Any]:
    """Seconds of the fastest call, and what it returned."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        found = read()
        times.append(time.perf_counter() - begin)
    return min(times), found


def check_equal(ours: Any, theirs: Any) -> None:
    """Raise unless both found the same points."""
    assert ours.tags == sorted(theirs.Tags()["scalars"])
    for tag in ours.tags:
        events = theirs.Scalars(tag)
        steps, values = ours.series(tag)
        np.testing.assert_array_equal(steps, [event.step for event in events])
        np.testing.assert_array_equal(values, [event.value for event in events])


@contextmanager
def written(case: str, points: int) -> Iterator[Path]:
    """A folder with the event files of a case."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), points, values_per_event=CASES[case])
        yield Path(folder)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000, help="scalar points of a run")
    parser.add_argument("--rounds", type=int, default=3, help="readings by read_run, of which the fastest counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{arguments.points:,} scalar points, {ROW} tags")
    print("| event files | `read_run` | `EventAccumulator` | times faster |\n|---|---:|---:|---:|")
    for case in CASES:
        with written(case, arguments.points) as folder:
            ours, run = fastest(lambda: read_run(folder), arguments.rounds)
            theirs, accumulated = fastest(lambda: accumulator(folder), max(1, arguments.rounds // 3))
            check_equal(run, accumulated)
        print(f"| {case} | {ours:.2f} s | {theirs:.2f} s | {theirs / ours:.1f} |", flush=True)


if __name__ == "__main__":
    main()
