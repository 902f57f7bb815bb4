"""What is done at every training step, compiled: numbers are added up, and nobody else is asked."""

from collections.abc import Callable, Mapping
from typing import Any

class Sums:
    """As ``puffer_callbacks.recorder.sums.PlainSums``."""

    names: tuple[str, ...]
    steps: int
    def __init__(self, names: tuple[str, ...], read: Callable[[Any], Any], /) -> None: ...
    def add(self, outputs: Mapping[str, Any], /) -> bool: ...
    def take(self) -> dict[str, tuple[float, int, int]]: ...

class Passage:
    """Stands for ``on_train_batch_end``: takes a step by itself where nothing else is due, or calls ``slow``.

    It is closed until it is opened. A step of several accumulated batches, whose loss is divided, is not for it.

    Args:
        counters: has ``optimizer_steps`` and ``learning_rates``.
        slow: what else is called, with all arguments.
        go_on: called, once, after a step that moved beyond ``mark`` or came to ``ends``; with whether it was ``ends``.
        clock: gives seconds.
    """

    def __init__(
        self, counters: Any, slow: Callable[..., None], go_on: Callable[[bool], None], clock: Callable[[], float], /
    ) -> None: ...
    def __call__(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, /) -> None: ...
    def open(
        self,
        sums: tuple[Sums, ...],
        until: int,
        ends: int,
        due: float,
        rates: object,
        position: Callable[[], int] | None,
        mark: int,
        /,
    ) -> None:
        """Let steps pass.

        Args:
            sums: what their outputs are added to, all of the same names.
            until: the optimizer step from which on somebody has to be asked.
            ends: the one at which an interval ends.
            due: the time by the clock from which on.
            rates: the counters' ``learning_rates``; another object is asked about.
            position: gives the place on the x axis, where that is not the optimizer steps.
            mark: the place of the row that is open there.
        """

    def close(self) -> bool:
        """Let nothing pass; tells whether it was open."""

    def take(self) -> tuple[int, float]:
        """Steps that passed since the last call, and the seconds that it took."""
