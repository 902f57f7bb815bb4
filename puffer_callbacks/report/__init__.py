"""What people look at: the page of a run, its figures, and a live view in a notebook."""

from puffer_callbacks.report.figures import save_figures
from puffer_callbacks.report.live import LiveLogger
from puffer_callbacks.report.page import report

__all__ = ["LiveLogger", "report", "save_figures"]
