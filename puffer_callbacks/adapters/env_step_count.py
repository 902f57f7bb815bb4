"""``EnvStepCount``: environment steps so far, in a loop that counts them itself."""

from collections.abc import Callable
from typing import Any


class EnvStepCount:
    """Reads the environment steps so far from a function, or else from a module's ``env_steps``.

    Args:
        module: the module in training; ``None`` between fits.
        count: the function, where there is one.

    Example:
        >>> steps = {"so far": 256}
        >>> count = EnvStepCount(None, lambda: steps["so far"])
        >>> count()
        256
    """

    def __init__(self, module: Any = None, count: Callable[[], int] | None = None) -> None:
        self._module, self._count = module, count
        self._last: int | None = None

    def __call__(self) -> int | None:
        """The steps so far; ``None`` where they are not counted."""
        steps = getattr(self._module, "env_steps", None) if self._count is None else self._count()
        self._last = None if steps is None else int(steps)  # a tensor's number: it may be changed in place
        return self._last

    def stay(self) -> None:
        """Return the last count from now on where the steps have begun anew: those of the next fit."""
        last = self._last
        if last is not None and (self() or 0) < last:
            self._count = lambda: last
