"""What is still done where Ctrl+C ends the process without a word."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


def before_exit(package: str, action: Callable[[], None]) -> Callable[[], None]:
    """Have something done before the SIGINT handler of a package, which ends the process at once.

    A handler of anybody else, Python's own included, is left as it is. So is that of the package where this
    is not the main thread. A second Ctrl+C, while the action is at work, ends the process.

    Args:
        package: whose handler it must be.
        action: what is to be done.

    Returns:
        A function that puts everything back.
    """
    previous = signal.getsignal(signal.SIGINT)
    theirs = str(getattr(previous, "__module__", "")).partition(".")[0] == package
    if not callable(previous) or not theirs or not _in_main_thread():
        return lambda: None

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, previous)
        try:
            action()
        finally:
            previous(number, frame)

    def undo() -> None:
        if signal.getsignal(signal.SIGINT) is handle and _in_main_thread():
            signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    return undo


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
