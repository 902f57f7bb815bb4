"""Callbacks that make a reinforcement-learning run observable."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from puffer_callbacks.axes import Axes
    from puffer_callbacks.callbacks import (
        AttentionCallback,
        GradientCallback,
        HealthCallback,
        HistogramCallback,
        HyperparametersCallback,
        ImageCallback,
        MetricsCallback,
        PlasticityCallback,
        PufferCallback,
        RolloutCallback,
        VideoCallback,
        default_callbacks,
        emit,
        log,
    )
    from puffer_callbacks.health import Finding
    from puffer_callbacks.loggers import ConsoleLogger, MemoryLogger
    from puffer_callbacks.recorder.recorder import Recorder
    from puffer_callbacks.rollout import Rollout
    from puffer_callbacks.schedule import Every
    from puffer_callbacks.values import Histogram, Hyperparameters, Image, Text, Video
    from puffer_callbacks.writers import Writer, writer_for

__all__ = [
    "AttentionCallback",
    "Axes",
    "ConsoleLogger",
    "Every",
    "Finding",
    "GradientCallback",
    "HealthCallback",
    "Histogram",
    "HistogramCallback",
    "Hyperparameters",
    "HyperparametersCallback",
    "Image",
    "ImageCallback",
    "MemoryLogger",
    "MetricsCallback",
    "PlasticityCallback",
    "PufferCallback",
    "Recorder",
    "Rollout",
    "RolloutCallback",
    "Text",
    "Video",
    "VideoCallback",
    "Writer",
    "default_callbacks",
    "emit",
    "log",
    "writer_for",
]

_HOMES = {
    name: f"puffer_callbacks.{home}"
    for home, names in {
        "axes": "Axes",
        "callbacks": "AttentionCallback GradientCallback HealthCallback HistogramCallback HyperparametersCallback "
        "ImageCallback MetricsCallback PlasticityCallback PufferCallback RolloutCallback VideoCallback "
        "default_callbacks emit log",
        "health": "Finding",
        "loggers": "ConsoleLogger MemoryLogger",
        "recorder": "Recorder",
        "rollout": "Rollout",
        "schedule": "Every",
        "values": "Histogram Hyperparameters Image Text Video",
        "writers": "Writer writer_for",
    }.items()
    for name in names.split()
}
"""Where each name is: torch and Lightning are imported with the first of them, not with the package."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
