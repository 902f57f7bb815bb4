"""``RolloutLooks``: statistics of some rollouts and of the updates after them, fewer as a run goes on."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from torch import Tensor

from puffer_callbacks.health.look_schedule import LookSchedule
from puffer_callbacks.health.modules import meant_to_change
from puffer_callbacks.health.statistics import Collector
from puffer_callbacks.measure.forward_pass.isolation import isolated
from puffer_callbacks.measure.layer_plasticity import layer_plasticity
from puffer_callbacks.measure.parameter_names import plain_name
from puffer_callbacks.rollout import Rollout
from puffer_callbacks.schedule import Every

_OBSERVATIONS = 256
"""Observations of a rollout over which units are counted."""
_MAX_FOLLOWED = 256
"""Training steps of one update that are followed."""


class RolloutLooks:
    """Looks at a rollout, follows the training steps of its update, and ends the look at the next rollout.

    Args:
        every: which rollouts may be looked at, by their number.

    Example:
        >>> import torch
        >>> looks = RolloutLooks(Every(1))
        >>> rewards = torch.tensor([[0.0], [2.0]])
        >>> looks.add_rollout(Rollout(rewards=rewards), torch.nn.Identity())["diagnostics/nonzero_reward_fraction"]
        0.5
    """

    def __init__(self, every: Every) -> None:
        self._every, self._schedule = every, LookSchedule()
        self._collector = Collector()
        self.rollouts = 0
        """The number of rollouts so far."""
        self._candidates = self._followed = 0
        self._is_open = self._cannot_pass = self._has_advantages = False
        self.is_following = False
        """Whether training steps are wanted."""
        self.verdict_is_due = False
        """Whether the run is to be judged, after the last rollout."""

    @property
    def max_episode_steps(self) -> int | None:
        """The environment's time limit, where it is known."""
        return self._collector.max_episode_steps

    @max_episode_steps.setter
    def max_episode_steps(self, limit: int | None) -> None:
        self._collector.max_episode_steps = limit

    def add_step(self, outputs: object, batch: Any, *, updates: int) -> None:
        """Add a training step of the update, after which there were so many optimizer steps."""
        self._collector.add_step(outputs if isinstance(outputs, Mapping) else {}, batch, updates=updates)
        self._followed += 1
        self.is_following = self._collector.follows_targets or (self._has_advantages and self._followed < _MAX_FOLLOWED)

    def add_rollout(self, rollout: Rollout, module: Any, *, evaluates_policy: bool = True) -> dict[str, float]:
        """Add a rollout, whether it is looked at or not.

        Args:
            rollout: the rollout.
            module: in training; the shards of a ``DTensor`` are left out.
            evaluates_policy: whether its policy may be called on this rank alone.

        Returns:
            Statistics by tag, of the rollout and of the update before it; nothing where there was no look.
        """
        is_due = self._next_is_due()
        if not is_due and not self._is_open:
            return {}
        whole = [(plain_name(name), p) for name, p in module.named_parameters() if not hasattr(p, "placements")]
        parameters = meant_to_change(whole)
        policy = module if evaluates_policy else None
        with isolated(module) if evaluates_policy else nullcontext():
            if is_due:
                values = self._collector.add_rollout(rollout, module=policy, parameters=parameters)
                values |= self._units(rollout, policy)
            else:
                values = self._collector.finish_update(module=policy, parameters=parameters)
        self._is_open, self._followed = is_due, 0
        self._has_advantages = rollout.advantages is not None
        self.is_following = (is_due and self._has_advantages) or self._collector.follows_targets
        self.verdict_is_due = is_due and self._schedule.verdict_is_due
        return values

    def _units(self, rollout: Rollout, policy: Any) -> dict[str, float]:
        """Dormant and saturated units, by a forward pass over some observations, unless it failed before."""
        given = rollout.observations
        if policy is None or self._cannot_pass or not isinstance(given, Tensor) or not given.numel():
            return {}
        try:
            observations = rollout.even_sample(given, most=_OBSERVATIONS)
            return layer_plasticity(policy, observations, names=("dormant_ratio", "saturated_ratio"))
        except ValueError:  # a policy that takes something else
            self._cannot_pass = True
            return {}

    def state_dict(self) -> dict[str, Any]:
        """The numbers of rollouts and looks, and what rollouts are known by."""
        counts = {"rollouts": self.rollouts, "candidates": self._candidates, "looks": self._schedule.looks}
        return counts | self._collector.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue the counts of a checkpoint."""
        self._collector.load_state_dict(state)
        self.rollouts, self._candidates = state["rollouts"], state["candidates"]
        self._schedule.looks = state["looks"]
        self._every.resume_at(self.rollouts)

    def _next_is_due(self) -> bool:
        self.rollouts += 1
        self.verdict_is_due = False
        if not self._every.fires(self.rollouts):
            return False
        self._candidates += 1
        return self._schedule.fires(self._candidates)
