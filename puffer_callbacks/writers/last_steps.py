"""The last step of each logger, over all runs of this process."""

from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

_last_steps: WeakKeyDictionary[Any, int] = WeakKeyDictionary()


def last_step_of(logger: Any) -> int | None:
    """The highest step of the rows that a logger was given in this process, or ``None`` if there is no row.

    Args:
        logger: any logger; ``None`` for one that cannot be referenced weakly or hashed.
    """
    with suppress(TypeError):
        return _last_steps.get(logger)
    return None


def keep_last_step(logger: Any, step: int) -> None:
    """Remember that a logger was given a row.

    Args:
        logger: the logger.
        step: of the row.
    """
    with suppress(TypeError):
        _last_steps[logger] = max(step, _last_steps.get(logger, step))
