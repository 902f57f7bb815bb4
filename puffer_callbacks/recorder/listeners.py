"""The callbacks that the recorder calls at training steps, and the next step at which one of them is due."""

import sys
from collections.abc import Iterable
from typing import Any


class StepListeners:
    """The callbacks with ``on_step``, each called from its ``next_step`` on.

    Between firings no callback is called, so a step costs the same however many callbacks wait for theirs.

    Args:
        callbacks: the trainer's callbacks, in order.

    Attributes:
        due_at: the optimizer step from which on a callback is due. 0 asks at every training batch.
        readers: callbacks with ``reads_every_step``: the recorder passes each step's outputs to their ``update``.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        callbacks = list(callbacks)
        self._callbacks = [callback for callback in callbacks if callable(getattr(callback, "on_step", None))]
        self.readers = [callback for callback in callbacks if getattr(callback, "reads_every_step", False)]
        self.due_at = 0

    def due(self, optimizer_steps: int) -> list[Any]:
        """The callbacks to call at this step."""
        return [callback for callback in self._callbacks if next_step(callback) <= optimizer_steps]

    def refresh(self) -> None:
        """Look for the next step at which a callback is due."""
        self.due_at = min(map(next_step, self._callbacks), default=sys.maxsize)


def next_step(callback: Any) -> int:
    """The optimizer step from which on a callback's ``on_step`` is wanted; 0 for one that does not declare it.

    A subclass that overrides ``on_step`` alone is called at every step: ``next_step`` belongs to the hook that it was
    written for.
    """
    classes = type(callback).__mro__
    declared = next((at for at, each in enumerate(classes) if "next_step" in vars(each)), len(classes))
    overridden = next((at for at, each in enumerate(classes) if "on_step" in vars(each)), 0)
    return callback.next_step if declared <= overridden and "on_step" not in vars(callback) else 0
