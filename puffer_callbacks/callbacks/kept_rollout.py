"""``KeptRollout``: what is kept of the last rollout, for its histograms."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor

from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values import Histogram
from puffer_callbacks.values.checkpointing import from_states, to_states

_FIELDS = ("advantages", "values", "rewards", "actions")


class KeptRollout:
    """Keeps a copy of the fields of the last rollout that are logged; the others, as its observations, are free.

    Loops keep rollouts in memory that they use again: a reference would show the numbers of the next one.

    Example:
        >>> import torch
        >>> kept = KeptRollout()
        >>> kept.update(Rollout(rewards=torch.ones(4, 2)))
        >>> kept.histograms()["rollout/rewards"].count
        8
    """

    def __init__(self) -> None:
        self._fields: dict[str, Tensor] = {}
        self._resumed: dict[str, Histogram] = {}

    def update(self, rollout: Rollout) -> None:
        """Copy a rollout that has just ended in place of the one before; one of finished episodes alone has nothing."""
        fields = {f"rollout/{name}": getattr(rollout, name) for name in _FIELDS}
        found = {tag: field.detach().clone() for tag, field in fields.items() if field is not None}
        if found:
            self._fields, self._resumed = found, {}

    def histograms(self) -> dict[str, Histogram]:
        """By tag; after a resume, until the next rollout, those of the last one before the checkpoint."""
        return Histogram.of_all(self._fields) if self._fields else dict(self._resumed)

    def state_dict(self) -> dict[str, Any]:
        """The histograms, for a checkpoint: the interval that it cuts in two shows them at its end."""
        histograms: dict[str, Any] = {}
        with suppress(Exception):  # the next firing reports it; a checkpoint is worth more
            histograms = to_states(self.histograms())
        return {"histograms": histograms}

    def load_state_dict(self, state: dict[str, Any], *, is_first_rank: bool = True) -> None:
        """Continue from a checkpoint.

        Args:
            state: of rank 0, with the histograms of all ranks.
            is_first_rank: whether this is rank 0, which shows them.
        """
        self._fields = {}
        self._resumed = histograms_of(state.get("histograms") or {}) if is_first_rank else {}


def histograms_of(states: Mapping[str, Any]) -> dict[str, Histogram]:
    """The histograms of a checkpoint by tag."""
    return {tag: value for tag, value in from_states(states).items() if isinstance(value, Histogram)}
