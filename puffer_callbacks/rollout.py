"""The data of ``on_rollout_end`` and its pure statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

_PER_STEP = ("rewards", "dones", "values", "log_probs", "advantages", "returns", "entropy")
_PER_EPISODE = ("episode_returns", "episode_lengths")


@dataclass(frozen=True, eq=False)
class Rollout:
    """What a policy met between two updates: T steps of N environments, E episodes that ended meanwhile.

    Args:
        observations: [T, N, *obs]; of a dict or tuple space a mapping or tuple of such tensors, of words or
            sequences a list of T lists of N.
        actions: [T, N, *act].
        rewards: [T, N].
        dones: [T, N], true where the episode ended at this step.
        values: [T, N], the critic's estimate at each observation.
        log_probs: [T, N], of the actions under the policy that took them.
        advantages: [T, N].
        returns: [T, N], the critic's targets.
        entropy: [T, N], of the policy at each observation, in nats.
        episode_returns: [E], undiscounted.
        episode_lengths: [E], in steps.
        infos: reward components and other numbers of the finished episodes, each [E] or [any].
        env_steps: environment steps so far, this rollout included, over all ranks.
        action_space: the Gymnasium space of one action, for its scale.

    Raises:
        TypeError: if a field is not a tensor, or ``env_steps`` is not an integer.
        ValueError: if the shapes disagree.

    Example:
        >>> zeros = torch.zeros(4, 2)
        >>> rollout = Rollout(torch.zeros(4, 2, 3), zeros, zeros, zeros.bool(), env_steps=8)
        >>> rollout.num_steps, rollout.num_envs
        (4, 2)
    """

    observations: Any
    actions: Tensor
    rewards: Tensor
    dones: Tensor
    values: Tensor | None = None
    log_probs: Tensor | None = None
    advantages: Tensor | None = None
    returns: Tensor | None = None
    entropy: Tensor | None = None
    episode_returns: Tensor | None = None
    episode_lengths: Tensor | None = None
    infos: Mapping[str, Tensor] = field(default_factory=dict)
    env_steps: int = 0
    action_space: Any = None

    def __post_init__(self) -> None:
        if not isinstance(self.observations, Tensor | Mapping | tuple | list):
            given = type(self.observations).__name__
            raise TypeError(f"Rollout.observations: expected a tensor, got {given} (no mapping, tuple or list either)")
        for name in ("actions", *_PER_STEP, *_PER_EPISODE):
            value = getattr(self, name)
            _refuse_nested(name, value)
            optional = name not in ("actions", "rewards", "dones")
            if not isinstance(value, Tensor) and not (optional and value is None):
                raise TypeError(f"Rollout.{name}: expected a tensor, got {type(value).__name__}")
        if isinstance(self.env_steps, bool) or not isinstance(self.env_steps, int):
            raise TypeError(f"Rollout.env_steps: expected an integer, got {type(self.env_steps).__name__}")
        if not isinstance(self.infos, Mapping):
            raise TypeError(f"Rollout.infos: expected a mapping of tensors, got {type(self.infos).__name__}")
        for name, value in self.infos.items():
            if not isinstance(value, Tensor):
                raise TypeError(f"Rollout.infos[{name!r}]: expected a tensor, got {type(value).__name__}")
        self._check_shapes()

    def _check_shapes(self) -> None:
        _refuse_nested("observations", self.observations)
        if self.rewards.ndim != 2:
            raise ValueError(f"Rollout.rewards: expected the shape [T, N], got {list(self.rewards.shape)}")
        expected = list(self.rewards.shape)
        for name in ("observations", "actions"):
            value = getattr(self, name)
            given = list(value.shape[:2]) if isinstance(value, Tensor) else expected
            if given[:2] != expected:
                raise ValueError(
                    f"Rollout.{name}: expected a shape that starts with {expected}, got {list(value.shape)}"
                )
        for name in _PER_STEP:
            value = getattr(self, name)
            if value is not None and list(value.shape) != expected:
                raise ValueError(f"Rollout.{name}: expected the shape {expected}, got {list(value.shape)}")
        lengths = {name: getattr(self, name) for name in _PER_EPISODE if getattr(self, name) is not None}
        if any(value.ndim != 1 for value in lengths.values()) or len({len(v) for v in lengths.values()}) > 1:
            given_shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in lengths.items())
            raise ValueError(f"Rollout: expected the same shape [E] for every episode field, got {given_shapes}")

    @property
    def num_steps(self) -> int:
        """T, the steps of each environment."""
        return self.rewards.shape[0]

    @property
    def num_envs(self) -> int:
        """N, the environments."""
        return self.rewards.shape[1]


def _refuse_nested(name: str, value: object) -> None:
    if isinstance(value, Tensor) and value.is_nested:
        raise ValueError(f"Rollout.{name}: expected a tensor with a shape, got a nested one")


def explained_variance(values: Tensor, returns: Tensor) -> Tensor:
    """The share of the returns' variance that the critic explains: 1 − Var(returns − values) / Var(returns).

    Args:
        values: the critic's estimates, any shape.
        returns: its targets, the same shape.

    Returns:
        A float64 scalar: 1 for a perfect critic, 0 for one as good as a constant, below 0 for a worse one;
        NaN where the returns do not vary, since no share of nothing can be explained.

    Raises:
        ValueError: if the shapes disagree.

    Example:
        >>> explained_variance(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0])).item()
        1.0
    """
    if values.shape != returns.shape:
        raise ValueError(
            f"expected values and returns of one shape, got {list(values.shape)} and {list(returns.shape)}"
        )
    values, returns = values.detach().double(), returns.detach().double()
    variance = returns.var(correction=0)
    share = 1 - (returns - values).var(correction=0) / variance
    return torch.where(variance > 0, share, torch.full_like(share, torch.nan))
