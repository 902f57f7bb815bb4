"""Statistics that need more than one rollout: what an update did, and whether data came twice."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from puffer_callbacks.health.statistics.batches import BatchTracker
from puffer_callbacks.health.statistics.log_probs import PolicySample, policy_log_probs
from puffer_callbacks.health.statistics.marks import rollout_mark
from puffer_callbacks.health.statistics.pairing import pair_moments
from puffer_callbacks.health.statistics.policy import PolicyFinder
from puffer_callbacks.health.statistics.rollout import rollout_statistics
from puffer_callbacks.health.statistics.targets import TargetTracker
from puffer_callbacks.health.statistics.weights import WeightTracker
from puffer_callbacks.rollout import Rollout

_REMEMBERED = 32
Parameters = Iterable[tuple[str, Tensor]]


class Collector:
    """Gathers every statistic that the rules look at, while a run trains.

    A look at the run is ``add_rollout``, an ``add_step`` for each training step, and at the next rollout
    ``finish_update``, or ``add_rollout`` again.

    Args:
        max_episode_steps: the environment's time limit, where it is known.

    Example:
        >>> import torch
        >>> collector = Collector()
        >>> rollout = Rollout(torch.rand(4, 2, 3), torch.zeros(4, 2), values=torch.rand(4, 2))
        >>> collector.add_rollout(rollout)["diagnostics/repeated_rollout"]
        0.0
        >>> collector.add_rollout(rollout)["diagnostics/repeated_rollout"]
        1.0
    """

    def __init__(self, *, max_episode_steps: int | None = None) -> None:
        self.max_episode_steps = max_episode_steps
        self._batches, self._targets = BatchTracker(), TargetTracker()
        self._weights, self._policy = WeightTracker(), PolicyFinder()
        self._before: PolicySample | None = None
        self._size = 0
        self._moments: Tensor | None = None
        self._seen: deque[tuple[float, ...]] = deque(maxlen=_REMEMBERED)

    @property
    def follows_targets(self) -> bool:
        """Whether it waits for training steps of an algorithm with a target network."""
        return self._targets.is_following

    def add_step(self, metrics: Mapping[str, Any], batch: Any = None, *, updates: int = 0) -> None:
        """Add a training step: its metrics (``approx_kl``, ``clip_fraction``), its batch where it is known, and the
        optimizer steps so far."""
        if self._targets.is_following:
            self._targets.add_step(metrics, batch, updates=updates)
        else:
            self._batches.add(metrics, batch)

    def add_rollout(self, rollout: Rollout, *, module: Any = None, parameters: Parameters = ()) -> dict[str, float]:
        """Statistics of a rollout and of the update before it.

        Args:
            rollout: collected by the policy as it is now.
            module: whose policy it is, where log-probabilities shall be recomputed.
            parameters: names and tensors of the weights to follow.
        """
        weights = list(parameters)
        values = self._batches.pop(self._size, self._moments) | self._targets.pop()
        values |= rollout_statistics(rollout, max_episode_steps=self.max_episode_steps)
        values |= self._weights.update(weights)
        values["diagnostics/repeated_rollout"] = float(self._is_repeated(rollout))
        current = PolicySample.of(rollout) if module is not None else None
        policy = None if current is None else self._policy.find(module, current)
        values |= _compare(policy, self._before, current)
        if self._policy.softmaxes is not None:
            values["diagnostics/softmaxes"] = float(self._policy.softmaxes)
        self._before, self._size = current, rollout.num_steps * rollout.num_envs
        self._moments = pair_moments(rollout.values, rollout.returns)
        self._targets.start(weights if rollout.advantages is None else ())
        return values

    def finish_update(self, *, module: Any = None, parameters: Parameters = ()) -> dict[str, float]:
        """Statistics of the update since ``add_rollout``, without a look at the rollout that has come meanwhile."""
        values = self._batches.pop(self._size, self._moments) | self._weights.update(parameters)
        policy = None if module is None else self._policy.found_in(module)
        values |= _compare(policy, self._before, None)
        self._weights.pause()
        self._before, self._size, self._moments = None, 0, None
        return values

    def state_dict(self) -> dict[str, Any]:
        """The marks of the last rollouts, for a checkpoint; an update that it cuts in two is not compared."""
        return {"seen": [list(mark) for mark in self._seen]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the marks of the rollouts before the checkpoint."""
        self._seen = deque(map(tuple, state.get("seen", [])), maxlen=_REMEMBERED)

    def _is_repeated(self, rollout: Rollout) -> bool:
        """Whether the same rollout came before."""
        mark = rollout_mark(rollout)
        if mark is None:
            return False
        repeated = mark in self._seen
        self._seen.append(mark)
        return repeated


def _compare(policy: Any, before: PolicySample | None, current: PolicySample | None) -> dict[str, float]:
    """Log-probabilities as the policy gives them now, against those stored in the last rollout and in this one.

    Returns:
        ``diagnostics/log_prob_change``, their mean absolute change over the update, in nats;
        ``diagnostics/advantage_alignment``, its correlation with the advantages; and ``diagnostics/log_prob_error``,
        their mean absolute error in this rollout.
    """
    samples = [sample for sample in (before, current) if sample is not None]
    now = policy_log_probs(policy, samples) if samples and policy is not None else None
    if now is None:
        return {}
    values: dict[str, float] = {}
    if before is not None:
        change = now[0] - before.log_probs
        values["diagnostics/log_prob_change"] = float(change.abs().mean())
        alignment = _correlation(change, before.advantages)
        values |= {} if alignment is None else {"diagnostics/advantage_alignment": alignment}
    if current is not None:
        values["diagnostics/log_prob_error"] = float((now[-1] - current.log_probs).abs().mean())
    return values


def _correlation(first: Tensor, second: Tensor) -> float | None:
    """Pearson's correlation; ``None`` where one does not vary."""
    first, second = (each - each.mean() for each in (first.cpu().double(), second.cpu().double()))
    scale = float(first.norm() * second.norm())
    return float(first @ second) / scale if scale > 1e-12 else None
