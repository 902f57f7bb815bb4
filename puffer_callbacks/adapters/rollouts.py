"""Rollouts for a loop that has none of its own: of finished episodes, and of a replay batch."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.rollout import Rollout


def episodes_rollout(returns: Any, lengths: Any = None) -> Rollout:
    """Finished episodes as a rollout.

    Args:
        returns: undiscounted returns, a number or an array of any shape.
        lengths: their lengths in steps, as many.

    Raises:
        ValueError: if there are more of one than of the other.

    Example:
        >>> episodes_rollout([[9.0], [11.0]], [9, 11]).episode_returns
        tensor([ 9., 11.], dtype=torch.float64)
    """
    flat_returns = _flat(returns)
    flat_lengths = None if lengths is None else _flat(lengths)
    if flat_lengths is not None and len(flat_lengths) != len(flat_returns):
        given = f"got {len(flat_returns)} and {len(flat_lengths)}"
        raise ValueError(f"episodes: expected as many lengths as returns, {given}")
    return Rollout(episode_returns=flat_returns, episode_lengths=flat_lengths)


def replay_rollout(fields: Mapping[str, Any]) -> Rollout:
    """A batch of transitions, each [B, …] or [B, 1], as a rollout of one step of B environments."""
    steps = {name: torch.as_tensor(value).detach() for name, value in fields.items() if value is not None}
    flat = {name: value if name == "actions" else value.reshape(-1) for name, value in steps.items()}
    arguments: dict[str, Any] = {name: value.unsqueeze(0) for name, value in flat.items()}
    return Rollout(**arguments)


def _flat(numbers: Any) -> Tensor:
    return torch.as_tensor(numbers, dtype=torch.float64).detach().reshape(-1).cpu()
