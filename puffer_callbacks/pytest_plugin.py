"""A pytest plugin: the fixture ``memory_logger``, for tests of your own callbacks and modules."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from puffer_callbacks.loggers import MemoryLogger


@pytest.fixture
def memory_logger(tmp_path: Path) -> "MemoryLogger":
    """A fresh logger: ``Trainer(logger=memory_logger)``, then ``memory_logger.series("train/loss")``.

    Checkpoints of the trainer go to the test's ``tmp_path``, so that a test leaves nothing in the working folder.
    """
    from puffer_callbacks.loggers import MemoryLogger  # noqa: PLC0415  # torch, only where it is asked for

    return MemoryLogger(save_dir=str(tmp_path))
