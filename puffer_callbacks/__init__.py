"""Callbacks that make a reinforcement-learning run observable."""

from puffer_callbacks.axes import Axes
from puffer_callbacks.callbacks import (
    AttentionCallback,
    GradientCallback,
    HistogramCallback,
    HyperparametersCallback,
    ImageCallback,
    MetricsCallback,
    PufferCallback,
    RolloutCallback,
    VideoCallback,
    default_callbacks,
    emit,
    log,
)
from puffer_callbacks.loggers import ConsoleLogger, MemoryLogger
from puffer_callbacks.recorder import Recorder
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every
from puffer_callbacks.values import Histogram, Hyperparameters, Image, Text, Video
from puffer_callbacks.writers import Writer, writer_for

__all__ = [
    "AttentionCallback",
    "Axes",
    "ConsoleLogger",
    "Every",
    "GradientCallback",
    "Histogram",
    "HistogramCallback",
    "Hyperparameters",
    "HyperparametersCallback",
    "Image",
    "ImageCallback",
    "MemoryLogger",
    "MetricsCallback",
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
