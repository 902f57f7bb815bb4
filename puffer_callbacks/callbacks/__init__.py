"""The callbacks, one a file: each decides when to measure and what to log."""

from puffer_callbacks.callbacks.attention import AttentionCallback
from puffer_callbacks.callbacks.base import PufferCallback
from puffer_callbacks.callbacks.defaults import default_callbacks
from puffer_callbacks.callbacks.gradient import GradientCallback
from puffer_callbacks.callbacks.health import HealthCallback
from puffer_callbacks.callbacks.histogram import HistogramCallback
from puffer_callbacks.callbacks.hyperparameters import HyperparametersCallback
from puffer_callbacks.callbacks.image import ImageCallback
from puffer_callbacks.callbacks.metrics import MetricsCallback
from puffer_callbacks.callbacks.module_api import emit, log
from puffer_callbacks.callbacks.plasticity import PlasticityCallback
from puffer_callbacks.callbacks.rollout import RolloutCallback
from puffer_callbacks.callbacks.video import VideoCallback

__all__ = [
    "AttentionCallback",
    "GradientCallback",
    "HealthCallback",
    "HistogramCallback",
    "HyperparametersCallback",
    "ImageCallback",
    "MetricsCallback",
    "PlasticityCallback",
    "PufferCallback",
    "RolloutCallback",
    "VideoCallback",
    "default_callbacks",
    "emit",
    "log",
]
