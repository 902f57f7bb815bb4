"""``KeptRollout``: the rollout whose histograms are logged next."""

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from weakref import ref

from puffer_callbacks.rollout import Rollout
from puffer_callbacks.values import Histogram
from puffer_callbacks.values.checkpointing import from_states, to_states

_FIELDS = ("advantages", "values", "rewards", "actions")


class KeptRollout:
    """Keeps the last rollout where a firing is near; else its memory is free for the rollouts that follow.

    Example:
        >>> import torch
        >>> kept = KeptRollout()
        >>> kept.update(Rollout(rewards=torch.ones(4, 2)), at=0, next_firing=1)
        False
        >>> kept.histograms()["rollout/rewards"].count
        8
    """

    def __init__(self) -> None:
        self._rollout: Rollout | None = None
        self._last: Callable[[], Rollout | None] = _no_rollout
        self._ended_at: int | None = None
        self._is_awaited = False
        self._resumed: dict[str, Histogram] | None = None

    def update(self, rollout: Rollout, *, at: int, next_firing: int) -> bool:
        """Keep a rollout, or only remember when it ended.

        Args:
            rollout: the rollout that has just ended.
            at: the optimizer steps so far.
            next_firing: the optimizer step of the next firing.

        Returns:
            Whether a firing waits for its histograms.
        """
        if all(getattr(rollout, name) is None for name in _FIELDS):  # of finished episodes alone
            return False
        steps_between = sys.maxsize if self._ended_at is None else at - self._ended_at
        is_awaited, self._is_awaited = self._is_awaited, False
        is_near = next_firing <= at + 2 * steps_between
        self._ended_at, self._last, self._resumed = at, ref(rollout), None
        self._rollout = rollout if is_near or is_awaited else None
        return is_awaited

    def await_next(self) -> None:
        """After a firing: if the last rollout was not kept, the next one is logged in its place."""
        self._is_awaited = self._rollout is None and self._resumed is None and self._ended_at is not None

    def recall(self) -> None:
        """Take the last rollout if it is still in memory, at the end of training."""
        self._rollout = self._rollout or self._last()

    def histograms(self) -> dict[str, Histogram]:
        """By tag; after a resume, until the next rollout, those of the last one before the checkpoint."""
        if self._rollout is None:
            return self._resumed or {}
        fields = {name: getattr(self._rollout, name) for name in _FIELDS}
        return Histogram.of_all({f"rollout/{name}": value for name, value in fields.items() if value is not None})

    def state_dict(self) -> dict[str, Any]:
        """The histograms, for a checkpoint: the interval that it cuts in two shows them at its end."""
        histograms: dict[str, Any] = {}
        with suppress(Exception):  # the next firing reports it; a checkpoint is worth more
            histograms = to_states(self.histograms())
        return {"histograms": histograms, "ended_at": self._ended_at, "is_awaited": self._is_awaited}

    def load_state_dict(self, state: dict[str, Any], *, is_first_rank: bool = True) -> None:
        """Continue from a checkpoint.

        Args:
            state: of rank 0, with the histograms of all ranks.
            is_first_rank: whether this is rank 0, which shows them.
        """
        self._rollout, self._last = None, _no_rollout
        self._ended_at, self._is_awaited = state.get("ended_at"), state.get("is_awaited", False)
        histograms = state.get("histograms")
        self._resumed = (histograms_of(histograms) if is_first_rank else {}) if histograms else None

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_last": _no_rollout}


def histograms_of(states: Mapping[str, Any]) -> dict[str, Histogram]:
    """The histograms of a checkpoint by tag."""
    return {tag: value for tag, value in from_states(states).items() if isinstance(value, Histogram)}


def _no_rollout() -> None:
    """The last rollout of a copy."""
