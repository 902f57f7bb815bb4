"""What a run can say: frozen, validated values on the host."""

from puffer_callbacks.histogram.histogram import Histogram
from puffer_callbacks.values.media import Image, Video
from puffer_callbacks.values.text import Hyperparameters, Setting, Text

Value = float | Histogram | Image | Video | Text | Hyperparameters
"""Everything that a writer can be given."""

__all__ = ["Histogram", "Hyperparameters", "Image", "Setting", "Text", "Value", "Video"]
