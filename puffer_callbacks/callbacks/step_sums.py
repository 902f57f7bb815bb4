"""``StepSums``: sums of what training steps return and log, and the tags of their means."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

from puffer_callbacks.distributed import broadcast_json, gather_json
from puffer_callbacks.recorder.interval_sums import IntervalSums, Total, merge_totals
from puffer_callbacks.recorder.metric_objects import compute_and_reset, has_updates
from puffer_callbacks.values.scalars import Scalar
from puffer_callbacks.values.vocabulary import LOSSES

_DIAGNOSTICS = {"approx_kl", "old_approx_kl", "clip_fraction", "explained_variance"}

Tags = list[tuple[str, float]]
"""The tags of one scalar, each with the sign that it has there."""
Totals = Sequence[Mapping[str, Total]]
"""The totals of what was returned, by name, and of what was logged, by tag."""


class StepSums:
    """The sums of an interval.

    Example:
        >>> sums = StepSums()
        >>> sums.add_returned({"loss": 1.0}), sums.add_logged({"val": 2.0})
        (True, None)
        >>> means(sums.pop())
        {'train/loss': 1.0, 'val': 2.0}
    """

    def __init__(self) -> None:
        self._returned, self._logged = IntervalSums(), IntervalSums()
        self._rates: dict[str, Scalar] = {}
        self.has_logged = False
        """Whether a step of this interval logged a value."""

    def add_returned(self, outputs: object, rates: Mapping[str, Scalar] | None = None, *, loss_scale: int = 1) -> bool:
        """Add what a step returned, and the learning rates; see ``IntervalSums.add``."""
        had_scalars = self._returned.add(outputs, rates, loss_scale=loss_scale)
        self._rates = {} if had_scalars else dict(rates or {})
        return had_scalars

    def add_logged(self, values: Mapping[str, Scalar]) -> None:
        """Add what the same step logged, by tag; with the learning rates, where it returned nothing."""
        self._logged.add(values)
        self._returned.add(self._rates)
        self._rates, self.has_logged = {}, True

    def pop(self) -> Totals:
        """Return the totals since the last call, and begin anew."""
        self.has_logged = False
        return [self._returned.pop(), self._logged.pop()]

    def pop_metrics(
        self, *, guard: Callable[[str], AbstractContextManager[Any]], world_size: int = 1
    ) -> dict[str, float]:
        """Compute the torchmetrics objects that steps returned and updated, by name, and reset them.

        Args:
            guard: given a name, a block that reports its fault.
            world_size: the number of ranks; with several, those are computed that every rank has.
        """
        metrics = self._returned.metrics
        if world_size == 1 and not metrics:
            return {}
        updated = {name for name, metric in metrics.items() if has_updates(metric)}
        if world_size > 1:
            states = [{name: (0.0, 1, int(name in updated)) for name in metrics}]
            (summed,) = sum_over_ranks(states, world_size)
            updated = {name for name, (_, ranks, updates) in summed.items() if ranks == world_size and updates}
        return compute_and_reset({name: metrics[name] for name in sorted(updated)}, guard=guard)

    def peek(self) -> Totals:
        """The totals since the last ``pop``."""
        return [self._returned.peek(), self._logged.peek()]

    @property
    def tags(self) -> set[str]:
        """The tags of the scalars that steps return and log."""
        return {*_tags_of(self._returned.names), *self._logged.names}

    def state_dict(self) -> dict[str, Any]:
        """The totals so far, for a checkpoint."""
        sums = {"returned": self._returned.state_dict(), "logged": self._logged.state_dict()}
        return {**sums, "has_logged": self.has_logged}

    def state_over_ranks(self, world_size: int) -> dict[str, Any]:
        """The totals so far of all ranks, for rank 0 to continue from."""
        returned, logged = sum_over_ranks(self.peek(), world_size)
        return {"returned": returned, "logged": logged, "has_logged": self.has_logged}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint's totals."""
        self._returned.load_state_dict(state["returned"])
        self._logged.load_state_dict(state["logged"])
        self.has_logged = state.get("has_logged", False)


@lru_cache(maxsize=1024)
def tags(name: str) -> Tags:
    """The tags of a scalar that ``training_step`` returns.

    Example:
        >>> tags("entropy")
        [('train/entropy', 1.0), ('losses/entropy', -1.0)]
    """
    if name in _DIAGNOSTICS:
        return [(f"diagnostics/{name}", 1.0)]
    named = [(f"train/{name}", 1.0)]
    return [*named, LOSSES[name]] if name in LOSSES else named


def with_tags(totals: Totals, *, excluded: Iterable[str] = ()) -> Iterator[tuple[Tags, Total]]:
    """Each total with its tags. A tag that was returned and logged is the returned one; an optimizer's learning rate
    that stands beside a returned one is left out where both are the same.

    Args:
        totals: of an interval.
        excluded: tags of which what was logged is left out.
    """
    returned, logged = totals
    yield from ((tags(name), total) for name, total in returned.items() if not _is_repeated(name, returned))
    if logged:
        left_out = _tags_of(returned).union(excluded)
        yield from (([(tag, 1.0)], total) for tag, total in logged.items() if tag not in left_out)


def _is_repeated(name: str, returned: Mapping[str, Total]) -> bool:
    other = returned.get(name.removesuffix("/0")) if name.startswith("learning_rate") and name.endswith("/0") else None
    if other is None:
        return False
    total, count, nonfinite = returned[name]
    return math.isclose(other[0] * count, total * other[1], rel_tol=1e-6) and nonfinite <= other[2]


def means(totals: Totals) -> dict[str, float]:
    """The means by tag; a scalar without a finite value has none."""
    found = [(named, total / count) for named, (total, count, _) in with_tags(totals) if count]
    return {tag: sign * mean for named, mean in found for tag, sign in named}


def sum_over_ranks(totals: Totals, world_size: int) -> Totals:
    """The totals over all ranks, on every rank, so that all of them monitor the same numbers."""
    if world_size == 1:
        return totals
    ranks = gather_json(totals)
    summed = broadcast_json(None if ranks is None else [merge_totals(part) for part in zip(*ranks, strict=True)])
    return [{name: (total, count, others) for name, (total, count, others) in part.items()} for part in summed]


def _tags_of(names: Iterable[str]) -> set[str]:
    return {tag for name in names for tag, _ in tags(name)}
