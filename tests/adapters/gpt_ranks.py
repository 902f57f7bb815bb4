"""Two processes train, are cut and continue, forked from one that has imported everything."""

import json
import os
from pathlib import Path

from torch import distributed, multiprocessing

from puffer_callbacks import MemoryLogger, MetricsCallback
from puffer_callbacks.adapters import TransformersCallback
from tests.adapters.gpt import make_trainer


def run(folder: Path, *, max_steps: int, resume: bool = False) -> list[tuple[int, float]]:
    """What was logged of the loss, each step's of which is a mean over the ranks."""
    memory = MemoryLogger()
    callback = TransformersCallback(memory, [MetricsCallback(4)])
    options = {"save_strategy": "steps", "save_steps": 6, "logging_steps": 1, "ddp_backend": "gloo"}
    make_trainer(folder, [callback], max_steps=max_steps, **options).train(resume_from_checkpoint=resume or None)
    return memory.series("train/loss") if distributed.get_rank() == 0 else []


def main(rank: int, folder: Path) -> None:
    """A whole run, and one that is cut within an interval; rank 0 writes what each logged."""
    places = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {**places, "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}  # asked for; the ranks meet at a file
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    series = {"whole": run(folder / "whole", max_steps=12), "cut": run(folder / "parts", max_steps=6)}
    series["resumed"] = run(folder / "parts", max_steps=12, resume=True)
    if rank == 0:
        (folder / "series.json").write_text(json.dumps(series))
    distributed.destroy_process_group()


def train_on_two_ranks(folder: Path) -> dict[str, list[list[float]]]:
    """The points of the loss that rank 0 logged in each run."""
    multiprocessing.start_processes(main, (folder,), nprocs=2, start_method="fork")
    return json.loads((folder / "series.json").read_text())
