"""Minibatches of one Lightning epoch: several passes over one rollout, each in a new order."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor


class Minibatches:
    """Yields shuffled minibatches of a rollout, ``epochs`` times over.

    It has a length, so that Lightning does not fetch a batch ahead of the rollout.

    Args:
        rollout: called at the start of each iteration; tensors [size, ...] by name.
        size: steps in a rollout, over all environments.
        batch_size: steps in a minibatch; the last one of a pass holds what is left.
        epochs: passes over the rollout.
        generator: of the order.
        continue_epochs: called after each pass but the last; ``False`` ends the iteration.

    Example:
        >>> batches = Minibatches(lambda: {"x": torch.arange(4)}, size=4, batch_size=2, epochs=3)
        >>> len(batches), sorted(torch.cat([batch["x"] for batch in batches][:2]).tolist())
        (6, [0, 1, 2, 3])
    """

    def __init__(
        self,
        rollout: Callable[[], Mapping[str, Tensor]],
        *,
        size: int,
        batch_size: int,
        epochs: int,
        generator: torch.Generator | None = None,
        continue_epochs: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rollout, self._continue_epochs, self._generator = rollout, continue_epochs, generator
        self._size, self._batch_size, self._epochs = size, batch_size, epochs

    def __len__(self) -> int:
        return self._epochs * -(-self._size // self._batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        rollout = self._rollout()
        for epoch in range(self._epochs):
            if epoch and not self._continue_epochs():
                return
            order = torch.randperm(self._size, generator=self._generator)
            shuffled = (values[order.to(values.device)] for values in rollout.values())
            columns = [torch.split(values, self._batch_size) for values in shuffled]
            for parts in zip(*columns, strict=True):
                yield dict(zip(rollout, parts, strict=True))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: a resumed run collects a new rollout."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: see ``state_dict``."""
