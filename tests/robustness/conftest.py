"""What tests of robustness share: a healthy run; backends waited for less long."""

from collections.abc import Iterator
from typing import Any

import pytest
from torch import Tensor

from puffer_callbacks import MemoryLogger
from puffer_callbacks.backends.async_writer import AsyncWriter
from tests.robustness.breaking import Fault
from tests.robustness.small import record, train


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tensor, dict[str, Any]]:
    """The final weights and the record of a run in which nothing breaks."""
    logger = MemoryLogger()
    return train([logger], tmp_path_factory.mktemp("healthy")), record(logger)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A broken logger that blocks is given up sooner, and released in the end; healthy ones are waited for."""

    def timeout(writer: AsyncWriter) -> float:
        return 0.3 if writer.name.startswith("Broken") else 60.0

    monkeypatch.setattr(AsyncWriter, "close_timeout", property(timeout))
    monkeypatch.setattr(AsyncWriter, "checkpoint_timeout", 0.1)
    monkeypatch.setattr(Fault, "released", type(Fault.released)())
    yield
    Fault.released.set()
