"""One writer for each kind of logger, behind one interface."""

from puffer_callbacks.writers.base import Writer
from puffer_callbacks.writers.dispatch import writer_for

__all__ = ["Writer", "writer_for"]
