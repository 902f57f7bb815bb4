"""``StepListeners``: the callbacks that the recorder calls at training steps, each when it is due."""

import sys
from collections.abc import Iterable
from typing import Any


class StepListeners:
    """The callbacks with ``on_step``, each called from its ``next_step`` on.

    Between firings no callback is called, so a step costs the same however many callbacks wait for theirs.

    Args:
        callbacks: the trainer's callbacks, in order. Those with ``logs_earlier_points`` are called after the others:
            they may begin rows of their own, and what others log belongs to the row of this step.

    Attributes:
        due_at: the optimizer step from which on a callback with a schedule is due.
        at_every_step: callbacks that are called at each training batch.
        readers: callbacks with ``reads_every_step``: the recorder passes each step's outputs to their ``update``, which
            returns whether the callback is due at this step, whatever step it declared.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        callbacks = sorted(callbacks, key=lambda each: bool(getattr(each, "logs_earlier_points", False)))
        listeners = [callback for callback in callbacks if callable(getattr(callback, "on_step", None))]
        self.at_every_step = [callback for callback in listeners if not _has_schedule(callback)]
        self.readers = [callback for callback in callbacks if getattr(callback, "reads_every_step", False)]
        self._scheduled = [callback for callback in listeners if _has_schedule(callback)]
        self._listeners = listeners
        self.due_at = 0

    def due(self, optimizer_steps: int) -> list[Any]:
        """The callbacks to call at this step, in order."""
        later = [callback for callback in self._scheduled if callback.next_step > optimizer_steps]
        return [callback for callback in self._listeners if callback not in later] if later else self._listeners

    def read_metrics(self, callbacks: Iterable[Any]) -> bool:
        """Whether one of these callbacks reads the ``metrics`` that it is given."""
        return any(each in self.at_every_step or getattr(each, "reads_metrics", True) for each in callbacks)

    def refresh(self) -> None:
        """Find the next step at which a callback with a schedule is due."""
        self.due_at = min([callback.next_step for callback in self._scheduled], default=sys.maxsize)


def _has_schedule(callback: Any) -> bool:
    """Whether ``next_step`` is for the callback's ``on_step``.

    A subclass that overrides ``on_step`` alone is called at every step: ``next_step`` belongs to the hook that it was
    written for.
    """
    classes = type(callback).__mro__
    declared = next((at for at, each in enumerate(classes) if "next_step" in vars(each)), len(classes))
    overridden = next((at for at, each in enumerate(classes) if "on_step" in vars(each)), 0)
    return declared <= overridden and "on_step" not in vars(callback) and callback.next_step > 0
