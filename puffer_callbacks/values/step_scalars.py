"""The scalars of one training step, as callbacks are given them."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from puffer_callbacks.values.scalars import Scalar, as_scalar, scalars_of

_UNGUARDED: AbstractContextManager[Any] = nullcontext()


class StepScalars(Mapping[str, Scalar]):
    """The scalars of a training step's outputs, looked for when they are read: most callbacks read one or two.

    Args:
        outputs: what ``training_step`` returned.
        loss_scale: what its ``loss`` was divided by.
        guard: a block that reports the exception of one that holds no number.

    Example:
        >>> metrics = StepScalars({"loss": 0.5, "aux": {"kl": 0.1}}, loss_scale=2)
        >>> metrics["loss"], list(metrics), "aux" in metrics
        (1.0, ['loss', 'aux/kl'], False)
    """

    __slots__ = ("_found", "_guard", "_loss_scale", "_outputs")

    def __init__(
        self, outputs: object, *, loss_scale: int = 1, guard: AbstractContextManager[Any] = _UNGUARDED
    ) -> None:
        self._outputs, self._loss_scale, self._guard = outputs, loss_scale, guard
        self._found: dict[str, Scalar] | None = None

    def __getitem__(self, name: str) -> Scalar:
        if self._found is None and self._loss_scale == 1 and type(self._outputs) is dict:
            scalar = as_scalar(self._outputs.get(name))
            if scalar is not None:
                return scalar
        return self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return repr(self._all)

    @property
    def _all(self) -> dict[str, Scalar]:
        if self._found is None:
            self._found = {}
            with self._guard:
                self._found = scalars_of(self._outputs, loss_scale=self._loss_scale)
        return self._found
