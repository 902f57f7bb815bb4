"""What people look at: the page of a run, its figures, and a live view in a notebook."""

from typing import TYPE_CHECKING, Any

from puffer_callbacks.report.figures import save_figures
from puffer_callbacks.report.page import report

if TYPE_CHECKING:
    from puffer_callbacks.report.live import LiveLogger

__all__ = ["LiveLogger", "report", "save_figures"]


def __getattr__(name: str) -> Any:
    if name != "LiveLogger":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from puffer_callbacks.report.live import LiveLogger  # noqa: PLC0415  # Lightning, which takes seconds

    return LiveLogger
