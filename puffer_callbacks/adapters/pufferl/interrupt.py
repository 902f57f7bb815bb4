"""``before_exit``: actions that run before a package's SIGINT handler ends the process."""

import signal
import threading
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any


class _Handler:
    """Runs the actions of the runs that are open, then the package's own handler."""

    def __init__(self, previous: Callable[[int, FrameType | None], Any]) -> None:
        self.previous = previous
        self.actions: list[Callable[[], None]] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, self.previous)
        try:
            for action in list(self.actions):
                action()
        finally:
            self.previous(number, frame)

    def remove(self, action: Callable[[], None]) -> None:
        """Remove an action; with the last one the package's own handler is back."""
        if action in self.actions:
            self.actions.remove(action)
        is_ours = signal.getsignal(signal.SIGINT) == self
        if not self.actions and is_ours and _in_main_thread():
            signal.signal(signal.SIGINT, self.previous)


def before_exit(package: str, action: Callable[[], None]) -> Callable[[], None]:
    """Run an action before the SIGINT handler of a package, which ends the process at once.

    Any other handler, Python's own included, is left as it is. So is that of the package where this is not
    the main thread. A second Ctrl+C, while the action runs, ends the process.

    Args:
        package: the package whose handler it must be.
        action: what to run.

    Returns:
        A function that removes the action.
    """
    current = signal.getsignal(signal.SIGINT)
    handler = current if isinstance(current, _Handler) else None
    if handler is None and callable(current) and _package_of(current) == package and _in_main_thread():
        handler = _Handler(current)
        signal.signal(signal.SIGINT, handler)
    if handler is None:
        return lambda: None
    handler.actions.append(action)
    return partial(handler.remove, action)


def _package_of(function: object) -> str:
    return str(getattr(function, "__module__", "")).partition(".")[0]


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
