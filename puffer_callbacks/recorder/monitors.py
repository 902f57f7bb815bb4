"""What callbacks log, where Lightning's own callbacks look for it: ``callback_metrics`` and the progress bar."""

import math
from collections.abc import Mapping
from typing import Any

import torch

_PROGRESS_BAR = {"train/reward": "reward", "train/loss": "loss"}


def publish(trainer: Any, metrics: Mapping[str, float]) -> None:
    """Put numbers into ``trainer.callback_metrics``, for ``ModelCheckpoint``, ``EarlyStopping`` and plateau schedulers.

    Args:
        trainer: a trainer; one without ``callback_metrics`` is left alone.
        metrics: tag to number.

    Example:
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(callback_metrics={})
        >>> publish(trainer, {"train/loss": 0.5}); trainer.callback_metrics
        {'train/loss': tensor(0.5000, dtype=torch.float64)}
    """
    published = getattr(trainer, "callback_metrics", None)
    if published is None or not metrics:
        return
    published.update(zip(metrics, torch.tensor(list(metrics.values()), dtype=torch.float64).unbind(), strict=True))
    bar = getattr(trainer, "progress_bar_metrics", None)
    if bar is not None:
        shown = {name: metrics[tag] for tag, name in _PROGRESS_BAR.items() if tag in metrics}
        bar.update({name: number for name, number in shown.items() if math.isfinite(number)})
