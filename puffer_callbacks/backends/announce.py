"""``announced_if_slow``: a line in the log where something takes long."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

ANNOUNCE_AFTER = 5.0
"""Seconds after which a wait is announced."""
_log = logging.getLogger("puffer_callbacks")


@contextmanager
def announced_if_slow(what: str) -> Iterator[None]:
    """Log once what is waited for, if the block takes longer than ``ANNOUNCE_AFTER``.

    Args:
        what: what is waited for, as in ``"waiting for …"``.
    """
    timer = Timer(ANNOUNCE_AFTER, _log.warning, ("waiting for %s", what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
