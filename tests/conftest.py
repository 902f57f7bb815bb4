"""Shared by all tests: a trainer that does nothing but train."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

pytest_plugins = ["pytester"]


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
