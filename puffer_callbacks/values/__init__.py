"""Value types that callbacks record and writers store: frozen, validated, on the host."""

from puffer_callbacks.histogram.histogram import Histogram
from puffer_callbacks.values.media import Image, Video
from puffer_callbacks.values.text import Alert, Hyperparameters, Setting, Text

Value = float | Histogram | Image | Video | Text | Hyperparameters
"""Any value that a writer accepts."""

__all__ = ["Alert", "Histogram", "Hyperparameters", "Image", "Setting", "Text", "Value", "Video"]
