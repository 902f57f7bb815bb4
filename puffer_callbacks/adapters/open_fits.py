"""The fits that have begun and not ended: the next fit of the same module, or the end of the script, ends them."""

import atexit
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from puffer_callbacks.recorder.recorder import Recorder

_OPEN: dict[Any, Callable[[], None]] = {}
"""What runs at the end of the script, by adapter."""


def add(adapter: Any) -> None:
    """A fit has begun. Its end at the script's runs before that of a backend that was opened earlier."""
    _OPEN[adapter] = partial(_end_at_exit, adapter)
    atexit.register(_OPEN[adapter])


def remove(adapter: Any) -> None:
    """A fit has ended."""
    at_exit = _OPEN.pop(adapter, None)
    if at_exit is not None:
        atexit.unregister(at_exit)


def end_earlier(module: nn.Module, adapter: Any) -> None:
    """End what is open of this module, and of this adapter: not every library informs its callbacks of an exception.

    Args:
        module: what is trained next.
        adapter: what stands for its trainer.
    """
    for each in [each for each in _OPEN if each is adapter or each.trains(module)]:
        if each is not adapter:
            expected = "expected a module without an open fit, got one of another Loop, which is ended now"
            instead = "close it before; for more loggers or callbacks at once, give them to one Loop"
            Recorder.of(adapter).faults.report(type(adapter).__name__, f"{expected}; {instead}")
        with Recorder.of(each).guard(type(each).__name__):
            each.env_step_count.stay()  # a loop may count from 0 again before it begins the next fit
        each.end()


def _end_at_exit(adapter: Any) -> None:
    """The script ends without a ``close``; where an exception ended it, Python keeps that."""
    error = getattr(sys, "last_value", None)
    if isinstance(error, BaseException) and not hasattr(sys, "ps1"):
        adapter.fail(error)
    else:
        adapter.end()
