"""Read training runs back from disk: one ``Run`` for every format, one vocabulary for every library."""

from puffer_callbacks.runs.read import read_run, read_runs
from puffer_callbacks.runs.run import Run

__all__ = ["Run", "read_run", "read_runs"]
