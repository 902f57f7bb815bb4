"""A pytest plugin: the fixture ``memory_logger``, for tests of your own callbacks and modules."""

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from puffer_callbacks.loggers import MemoryLogger


@pytest.fixture
def memory_logger() -> "MemoryLogger":
    """A fresh logger: ``Trainer(logger=memory_logger)``, then ``memory_logger.series("train/loss")``."""
    from puffer_callbacks.loggers import MemoryLogger  # noqa: PLC0415  # torch, only where it is asked for

    return MemoryLogger()
