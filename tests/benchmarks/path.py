"""The way of one scalar: ``python -m tests.benchmarks.path`` follows it from ``training_step`` to the backends.

A real fit logs one scalar with ``MetricsCallback``. From the end of the training step that returns it until its row is
in the event file, and in the W&B run, every function of the package is listed in whose arguments, variables or result
the scalar is, on whichever thread: as a tensor, a number, in a row, or in the bytes of an event. Bounds: 16 files and
60 functions for each backend.
"""

import argparse
import logging
import os
import struct
import sys
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

import puffer_callbacks
from puffer_callbacks import MetricsCallback
from puffer_callbacks.backends.unsaved_rows import UnsavedRow
from tests.benchmarks.cost import QUIET

PACKAGE = f"{Path(puffer_callbacks.__file__).parent}/"
SCALAR = 0.712890625
"""Exact in float32, so that it can be found again."""
FILES, FUNCTIONS = 16, 60
STEP = 4
"""The step whose scalar is followed: the writers are open by then."""


class Trace:
    """The functions of the package that hold the scalar while the trace is on, in order."""

    def __init__(self) -> None:
        self.is_on = self._is_looking = False
        self.entered: dict[tuple[str, str], None] = {}

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if not self.is_on or event != "return" or not code.co_filename.startswith(PACKAGE) or self._is_looking:
            return
        name = (code.co_filename.removeprefix(PACKAGE), code.co_qualname)
        self._is_looking = True
        if name not in self.entered and "<" not in code.co_name and holds((frame.f_locals, argument)):
            self.entered[name] = None
        self._is_looking = False


def holds(value: Any, depth: int = 6) -> bool:
    """Whether the scalar is in a value: in itself, in a container, in a partial function or in bytes."""
    if isinstance(value, torch.Tensor | float):
        return (isinstance(value, float) or value.numel() == 1) and float(value) == SCALAR
    if isinstance(value, bytes | bytearray):
        return any(struct.pack(kind, SCALAR) in value for kind in ("<f", "<d"))
    if isinstance(value, partial):
        return depth > 0 and holds((value.args, value.keywords), depth - 1)
    if isinstance(value, Mapping):
        return depth > 0 and any(holds(each, depth - 1) for name, each in list(value.items()) if name != "self")
    if isinstance(value, list | tuple | deque):
        return depth > 0 and any(holds(each, depth - 1) for each in list(value))
    return isinstance(value, UnsavedRow) and holds(value.values, depth - 1)


class OneScalar(LightningModule):
    """Returns one scalar at each step; switches the trace on at the step that is followed."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.trace = trace

    def training_step(self, batch: Any, batch_idx: int) -> dict[str, torch.Tensor]:
        if batch_idx == STEP:
            self.trace.is_on = True
        return {"loss": self.weight.sum() + (SCALAR if batch_idx == STEP else 0.0)}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.0)

    def train_dataloader(self) -> range:
        return range(STEP + 3)


class Ends(Callback):
    """Switches the trace off once the row is written: the step after writes it, within a second."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == STEP + 2:
            time.sleep(1.5)
            self.trace.is_on = False


def follow(logger: Logger) -> Trace:
    """Train with one logger, and trace the scalar's way."""
    trace = Trace()
    settings = {"logger": logger, "max_epochs": 1, "accelerator": "cpu", **QUIET}
    threading.setprofile(trace)  # for the threads that the fit starts
    sys.setprofile(trace)
    try:
        Trainer(callbacks=[MetricsCallback(every_n_steps=1), Ends(trace)], **settings).fit(OneScalar(trace))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return trace


def report(name: str, trace: Trace) -> None:
    """Print the way to one backend."""
    files: dict[str, list[str]] = {}
    for file, function in trace.entered:
        files.setdefault(file, []).append(function)
    held = "held" if len(files) <= FILES and len(trace.entered) <= FUNCTIONS else "missed"
    print(
        f"\n{name}: {len(files)} files (at most {FILES}), {len(trace.entered)} functions (at most {FUNCTIONS}): {held}"
    )
    for file, functions in files.items():
        print(f"  {file}: {', '.join(functions)}")


def main() -> None:
    """Print both ways."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.filterwarnings("ignore")
    os.environ |= {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    for name in ("lightning.pytorch", "puffer_callbacks"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # W&B ends its files later
        report("Event file", follow(TensorBoardLogger(folder)))
        report("W&B", follow(WandbLogger(save_dir=folder, offline=True)))


if __name__ == "__main__":
    main()
