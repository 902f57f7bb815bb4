"""Loggers that break: each kind of fault, in each backend, at each moment."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from puffer_callbacks import ConsoleLogger, MemoryLogger, Text, Writer, writer_for
from puffer_callbacks.writers.csv.writer import CSVWriter
from puffer_callbacks.writers.fallback import FallbackWriter, ValuesWriter
from puffer_callbacks.writers.tensorboard.writer import TensorBoardWriter
from puffer_callbacks.writers.wandb.writer import WandbWriter


class Plain(Logger):
    """Any other Lightning logger."""

    name, version = "plain", 0

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, dict(metrics)))

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Not kept."""


class Fault:
    """What goes wrong, and when.

    Args:
        kind: ``always``, ``texts`` (one kind of value), ``third`` (each third call), ``blocks`` or ``slow``.
        moment: ``start``, ``middle`` (from the third row on) or ``close``.
    """

    released = Event()
    """Set at the end of the tests, so that no thread blocks for ever."""

    def __init__(self, kind: str, moment: str) -> None:
        self.kind, self.moment = kind, moment
        self.calls = self.rows = 0

    def write(self, values: Mapping[str, Any], continue_epochs: Callable[[], None]) -> None:
        self.rows += 1
        if self.moment == "start" or (self.moment == "middle" and self.rows > 3):
            self._strike(values)
        continue_epochs()

    def close(self, continue_epochs: Callable[[], None]) -> None:
        if self.moment == "close":
            self._strike({"words": Text("closing")})
        continue_epochs()

    def _strike(self, values: Mapping[str, Any]) -> None:
        self.calls += 1
        if self.kind == "blocks":
            self.released.wait()
        elif self.kind == "slow":
            time.sleep(0.05)
        elif (
            self.kind == "always"
            or (self.kind == "third" and self.calls % 3 == 0)
            or (self.kind == "texts" and any(isinstance(value, Text) for value in values.values()))
        ):
            raise OSError(28, "No space left on device")


def break_logger(kind: str, fault: Fault, folder: Path) -> Logger:
    """A real logger of this kind whose writer has the fault."""
    base, writer = _KINDS[kind]
    logger = type(f"Broken{base.__name__}", (base,), {})(**_arguments(kind, folder))
    writer_for.register(type(logger), _broken(writer, fault))
    return logger


def _broken(base: type[Writer], fault: Fault) -> type[Writer]:
    class Broken(base):  # type: ignore[misc, valid-type]
        def write(self, values: Mapping[str, Any], axes: Any) -> None:
            fault.write(values, lambda: super(Broken, self).write(values, axes))

        def close(self) -> None:
            fault.close(super().close)

    return Broken


_KINDS: dict[str, tuple[type[Logger], type[Writer]]] = {
    "tensorboard": (TensorBoardLogger, TensorBoardWriter),
    "csv": (CSVLogger, CSVWriter),
    "wandb": (WandbLogger, WandbWriter),
    "plain": (Plain, FallbackWriter),
    "memory": (MemoryLogger, ValuesWriter),
    "console": (ConsoleLogger, ValuesWriter),
}


def _arguments(kind: str, folder: Path) -> dict[str, Any]:
    if kind in ("tensorboard", "csv"):
        return {"save_dir": folder / kind, "name": "", "version": ""}
    return {"save_dir": str(folder), "offline": True} if kind == "wandb" else {}
