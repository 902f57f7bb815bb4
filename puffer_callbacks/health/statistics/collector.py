"""Statistics that need more than one rollout: what an update did, and whether data came twice."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.health.statistics.batches import BatchTracker
from puffer_callbacks.health.statistics.log_probs import policy_log_probs, steps_of
from puffer_callbacks.health.statistics.rollout import rollout_statistics
from puffer_callbacks.health.statistics.weights import WeightTracker
from puffer_callbacks.rollout import Rollout

_REMEMBERED = 32


class Collector:
    """Gathers every statistic that the rules look at, while a run trains.

    Args:
        max_episode_steps: the environment's time limit, where it is known.

    Example:
        >>> collector = Collector()
        >>> zeros = torch.zeros(4, 2)
        >>> rollout = Rollout(torch.rand(4, 2, 3), zeros, zeros, zeros.bool())
        >>> collector.add_rollout(rollout)["diagnostics/repeated_rollout"]
        0.0
        >>> collector.add_rollout(rollout)["diagnostics/repeated_rollout"]
        1.0
    """

    def __init__(self, *, max_episode_steps: int | None = None) -> None:
        self.max_episode_steps = max_episode_steps
        self._batches, self._weights = BatchTracker(), WeightTracker()
        self._previous: dict[str, Tensor] | None = None
        self._previous_size = 0
        self._seen: deque[tuple[float, ...]] = deque(maxlen=_REMEMBERED)

    def add_step(self, metrics: Mapping[str, Any], batch: Any = None) -> None:
        """Add a training step: its metrics (``approx_kl``, ``clip_fraction``) and, where it is known, its batch."""
        self._batches.add(metrics, batch)

    def add_rollout(
        self, rollout: Rollout, *, module: Any = None, parameters: Iterable[tuple[str, Tensor]] = ()
    ) -> dict[str, float]:
        """Statistics of a rollout and of the update before it.

        Args:
            rollout: collected by the policy as it is now.
            module: whose policy it is, where log-probabilities shall be recomputed.
            parameters: names and tensors of the weights to follow.
        """
        values = self._batches.pop(self._previous_size)
        values |= rollout_statistics(rollout, max_episode_steps=self.max_episode_steps)
        values |= self._weights.update(parameters)
        values["diagnostics/repeated_rollout"] = float(self._is_repeated(rollout))
        if module is not None:
            values |= self._compare_log_probs(module, rollout)
        self._previous_size = rollout.num_steps * rollout.num_envs
        return values

    def _is_repeated(self, rollout: Rollout) -> bool:
        """Whether the same numbers came before; those that do not vary are no evidence."""
        source = rollout.observations if isinstance(rollout.observations, Tensor) else rollout.rewards
        if source is None or not source.numel():
            return False
        numbers = source.detach().double()
        mark = tuple(torch.stack([numbers.sum(), numbers.square().sum(), numbers.std(correction=0)]).tolist())
        if not mark[2] > 0:
            return False
        repeated = mark in self._seen
        self._seen.append(mark)
        return repeated

    def _compare_log_probs(self, module: Any, rollout: Rollout) -> dict[str, float]:
        values, current = {}, steps_of(rollout)
        if self._previous is not None:
            now = policy_log_probs(module, self._previous["observations"], self._previous["actions"])
            alignment = (
                None
                if now is None
                else _correlation(now - self._previous["log_probs"].flatten(), self._previous["advantages"].flatten())
            )
            if alignment is not None:
                values["diagnostics/advantage_alignment"] = alignment
        if current is not None:
            now = policy_log_probs(module, current["observations"], current["actions"])
            if now is not None:
                errors = (now - current["log_probs"].flatten()).abs()
                values["diagnostics/log_prob_error"] = float(errors.mean())
        self._previous = current
        return values


def _correlation(first: Tensor, second: Tensor) -> float | None:
    """Pearson's correlation; ``None`` where one does not vary."""
    first, second = first.double() - first.double().mean(), second.double() - second.double().mean()
    scale = float(first.norm() * second.norm())
    return float(first @ second) / scale if scale > 1e-12 else None
