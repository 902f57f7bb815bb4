"""Checks of a run with a backend that breaks."""

import csv
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.loggers import CSVLogger, Logger

from puffer_callbacks import MemoryLogger
from tests.robustness.small import STEPS, record, train
from tests.support.warned import warned


def check(healthy: Any, folder: Path, broken: Logger, **arguments: Any) -> list[str]:
    """Train with a broken logger between two healthy ones; returns what was reported."""
    beside, behind = MemoryLogger(), CSVLogger(folder / "behind", name="", version="")
    with warned() as reported:
        weights = train([beside, broken, behind], folder, **arguments)
    assert torch.equal(weights, healthy[0])
    kept = {tag: points for tag, points in record(beside).items() if tag not in ("own", "epoch")}
    assert kept == healthy[1]
    assert rows(folder / "behind") == STEPS
    return reported


def rows(folder: Path) -> list[int]:
    """The steps of the rows with axes in a CSV file."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file, strict=True) if row.get("time/env_steps")]


def the_two(reported: list[str], name: str) -> tuple[str, str]:
    """The one warning with the reason and the one with the sum, at the end."""
    first, last = (warning for warning in reported if warning.startswith(name) and "takes scalars only" not in warning)
    assert first.startswith(f"{name}: could not record (")
    assert last.startswith(f"{name}, in all: ")
    return first, last
