"""One callback a file; each decides when to look and what to say."""

from puffer_callbacks.callbacks.base import PufferCallback, emit, log
from puffer_callbacks.callbacks.defaults import default_callbacks
from puffer_callbacks.callbacks.gradient import GradientCallback
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.callbacks.hyperparameters import HyperparametersCallback
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.callbacks.rollout import RolloutCallback

__all__ = [
    "GradientCallback",
    "HistogramCallback",
    "HyperparametersCallback",
    "MetricsCallback",
    "PufferCallback",
    "RolloutCallback",
    "default_callbacks",
    "emit",
    "log",
]
