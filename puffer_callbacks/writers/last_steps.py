"""The last step of each place that rows are written to, over all runs of this process."""

from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

_last_steps: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def last_step_of(place: Any) -> int | None:
    """The highest step of the rows that a place was given in this process, or ``None`` if there is no row.

    Args:
        place: of a writer, as a rule its logger; ``None`` for one that cannot be referenced weakly or hashed.
    """
    with suppress(TypeError):
        return _last_steps.get(place)
    return None


def keep_last_step(place: Any, step: int) -> None:
    """Remember that a place was given a row.

    Args:
        place: of a writer.
        step: of the row.
    """
    with suppress(TypeError):
        _last_steps[place] = max(step, _last_steps.get(place, step))
