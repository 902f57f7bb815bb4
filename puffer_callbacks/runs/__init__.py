"""Read training runs back from disk: one ``Run`` for every format, one vocabulary for every library."""

from puffer_callbacks.runs.diagnosis import diagnose_run
from puffer_callbacks.runs.read import read_run, read_runs
from puffer_callbacks.runs.run import Run

__all__ = ["Run", "diagnose_run", "read_run", "read_runs"]
