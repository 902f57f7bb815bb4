"""Shared by all tests: a trainer that does nothing but train."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from hypothesis import settings

from puffer_callbacks.overhead import budget

pytest_plugins = ["pytester"]

# Networks are small and workers share the cores: threads of torch's would wait for each other most of the time.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start
torch.set_num_threads(1)

# The same examples at each run, and no limit of time: a busy machine is no fault.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

SLOW_FOLDERS = {"adapters", "cli", "robustness"}
SLOW_MODULES = {"test_first_hour", "test_in_browser", "test_notebooks", "test_over_ranks", "test_readme"}
"""Tests of real processes, other libraries, browsers and notebooks."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow matrices, so that ``pytest -m "not slow"`` leaves them out."""
    for item in items:
        if SLOW_FOLDERS & set(item.path.parts) or item.path.stem in SLOW_MODULES:
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def quiet_trainer(tmp_path: Path) -> Callable[..., pl.Trainer]:
    """A CPU trainer of one epoch without progress bar, summary and checkpoints; arguments override."""

    def build(**arguments: Any) -> pl.Trainer:
        quiet: dict[str, Any] = {
            "accelerator": "cpu",
            "max_epochs": 1,
            "default_root_dir": tmp_path,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "log_every_n_steps": 1,
            "logger": False,
        }
        return pl.Trainer(**{**quiet, **arguments})

    return build


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _endless_budget_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interval widens because the machine is slow; tests of the budget set a window of their own."""
    monkeypatch.setattr(budget, "WINDOW_SECONDS", float("inf"))
