"""One writer for each kind of logger, behind one interface."""

from puffer_callbacks.writers.base import Writer, XAxis
from puffer_callbacks.writers.dispatch import writer_for

__all__ = ["Writer", "XAxis", "writer_for"]
