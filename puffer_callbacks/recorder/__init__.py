"""The recorder of a run: counters, the row at each x, and the hooks that feed it."""

from puffer_callbacks.recorder.recorder import Recorder

__all__ = ["Recorder"]
