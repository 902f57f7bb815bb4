"""``writer_for``: from a logger to its writer, by its class."""

import sys
from functools import singledispatch
from typing import Any

from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.tensorboard import TensorBoardLogger
from lightning.pytorch.loggers import WandbLogger

from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.csv.writer import CSVWriter
from puffer_callbacks.writers.fallback import FallbackWriter, ValuesWriter
from puffer_callbacks.writers.tensorboard.writer import TensorBoardWriter
from puffer_callbacks.writers.wandb.writer import WandbWriter

_TWINS = {"pytorch_lightning": "lightning.pytorch", "lightning_fabric": "lightning.fabric"}


@singledispatch
def writer_for(logger: Any) -> Writer:
    """The writer that feeds a logger.

    Args:
        logger: a Lightning logger, of ``lightning.pytorch``, ``pytorch_lightning`` or Fabric. One without a
            writer of its own gets its scalars through ``log_metrics``.

    Raises:
        TypeError: if the object is no logger at all.

    Example:
        >>> @writer_for.register(list)
        ... class ListWriter(Writer):
        ...     def write(self, values, axes):
        ...         self.logger.append(dict(values))
        >>> type(writer_for([])).__name__
        'ListWriter'
    """
    for base in type(logger).__mro__:
        twin = _twin(base)
        if twin is not None and writer_for.dispatch(twin) is not writer_for.dispatch(object):
            return writer_for.dispatch(twin)(logger)
    if callable(getattr(logger, "log_values", None)):
        return ValuesWriter(logger)
    if not callable(getattr(logger, "log_metrics", None)):
        raise TypeError(f"expected a Lightning logger (with log_metrics), got {type(logger).__name__}")
    return FallbackWriter(logger)


writer_for.register(TensorBoardLogger, TensorBoardWriter)
writer_for.register(WandbLogger, WandbWriter)


@writer_for.register(CSVLogger)
def _csv_writer(logger: Any) -> Writer:
    """Ours for a local folder; any other place is written to by Lightning's own writer, which knows fsspec's URLs."""
    return FallbackWriter(logger) if "://" in str(logger.log_dir) else CSVWriter(logger)


def _twin(base: type) -> type | None:
    """The same class in the ``lightning`` package: the two are copies without common ancestors."""
    package, _, rest = base.__module__.partition(".")
    if package not in _TWINS:
        return None
    module = sys.modules.get(f"{_TWINS[package]}.{rest}")
    return getattr(module, base.__name__, None)
