"""``TrainerAttributes``: loggers, callbacks and processes, which do not change in a run."""

import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger
from torch import distributed

from puffer_callbacks.adapters.hook_calls import is_callback
from puffer_callbacks.callbacks.defaults import default_callbacks

_log = logging.getLogger("puffer_callbacks")


class TrainerAttributes:
    """Loggers, callbacks and the place among the processes, under the names of Lightning's ``Trainer``.

    Args:
        loggers: Lightning loggers, one or several, or ``None``; where they are left out, a warning names what to give.
        callbacks: callbacks, one or several; a mapping holds the arguments of ``default_callbacks``, and ``None``
            are the default ones.
        log_dir: a folder for TensorBoard's files, each run in a version of its own; beside the loggers.

    Raises:
        TypeError: if a logger or a callback is none.
    """

    accumulate_grad_batches = 1
    datamodule = None
    sanity_checking = False
    fast_dev_run = False
    interrupted = False
    should_stop = False
    """Whether a callback asks to end the run; a loop of your own reads it after each rollout or step."""
    training = True

    def __init__(self, loggers: Any = (), callbacks: Any = None, *, log_dir: str | PathLike[str] | None = None) -> None:
        self.loggers = _listed(loggers)
        for logger in self.loggers:
            if isinstance(logger, str | PathLike):
                raise TypeError(f"loggers: expected Lightning loggers, got {logger!r}; a folder is log_dir={logger!r}")
        if log_dir is not None:
            self.loggers.append(TensorBoardLogger(Path(log_dir), name=""))
        elif loggers == ():
            expected = "expected a logger or log_dir='runs', which writes TensorBoard's files, got neither"
            _log.warning(f"loggers: {expected}; nothing is saved (loggers=None asks for that)")
        if callbacks is None or isinstance(callbacks, Mapping):
            callbacks = default_callbacks(**(callbacks or {}))
        self.callbacks = _listed(callbacks)
        for callback in self.callbacks:
            if not is_callback(callback):
                raise TypeError(f"callbacks: expected Lightning callbacks, got {type(callback).__name__}")

    @property
    def logger(self) -> Any:
        """The first logger, if any."""
        return self.loggers[0] if self.loggers else None

    @property
    def world_size(self) -> int:
        """Processes that train together."""
        return distributed.get_world_size() if _is_distributed() else 1

    @property
    def global_rank(self) -> int:
        """The index of this process among them."""
        return distributed.get_rank() if _is_distributed() else 0

    @property
    def is_global_zero(self) -> bool:
        """Whether this is the process that logs."""
        return self.global_rank == 0

    def finalize_loggers(self, status: str) -> None:
        """Finalize the loggers, as Lightning does at the end of a run."""
        if self.is_global_zero:
            for logger in self.loggers:
                if callable(getattr(logger, "finalize", None)):
                    logger.finalize(status)


def _listed(given: Any) -> list[Any]:
    if given is None or given is False:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def _is_distributed() -> bool:
    return distributed.is_available() and distributed.is_initialized()
