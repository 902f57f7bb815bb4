"""How long the page of a run of a million points takes, and how large it is.

Run: ``python -m tests.benchmarks.report``
"""

import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from puffer_callbacks import Axes, Histogram, writer_for
from puffer_callbacks.report import report
from puffer_callbacks.runs import read_run

ROWS, TAGS = 20_000, 50


def write(folder: Path) -> None:
    """A run of a million scalars and a hundred histograms, written by our own writer."""
    writer = writer_for(TensorBoardLogger(folder, name="", version="", default_hp_metric=False))
    tags = ["train/reward", "train/entropy", *(f"update_ratio/{i}" for i in range(TAGS - 2))]
    walks = np.cumsum(np.random.default_rng(0).normal(size=(ROWS, TAGS)), axis=0)
    for step, row in enumerate(walks.tolist()):
        values = dict(zip(tags, row, strict=True))
        if step % 200 == 0:
            values["weights/layer"] = Histogram.of(torch.randn(1000))
        writer.write(values, Axes(env_steps=512 * step, optimizer_steps=step, wall_time=1.7e9 + step))
    writer.close()


def main() -> None:
    """Print the seconds of reading and of the page, and its bytes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        start = perf_counter()
        run = read_run(folder)
        read = perf_counter()
        page = report(run, Path(folder) / "report.html")
        end = perf_counter()
        points = sum(len(run.series(tag)[0]) for tag in run.tags)
        size = page.stat().st_size
        print(f"{points:,} points: read in {read - start:.2f} s, page in {end - read:.2f} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
