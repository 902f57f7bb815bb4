"""A few numbers by which a rollout is known again."""

import math
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.rollout import Rollout

_MOST = 2**12
"""Numbers of a field that count; of more an even sample does."""
_WEIGHTS = torch.arange(1, _MOST + 1, dtype=torch.float64).square().sin()


def rollout_mark(rollout: Rollout) -> tuple[float, ...] | None:
    """Observations, actions, log-probabilities and values as a number each, in which every position counts otherwise.

    Paths may repeat in fresh rollouts, as those of a solved deterministic environment do. What the policy gives for
    them may not: an update changes log-probabilities and values.

    Returns:
        The sum of xᵢ sin i² over each field: with weights linear in i many rollouts would share one. ``None`` where
        neither log-probabilities nor values vary, or a number is not finite.

    Example:
        >>> values = torch.tensor([[1.0], [0.0]])
        >>> rollout_mark(Rollout(values=values)) == rollout_mark(Rollout(values=values.flip(0)))
        False
        >>> rollout_mark(Rollout(values=torch.ones(2, 1)))
    """
    policy, paths = _filled(rollout.log_probs, rollout.values), _filled(rollout.observations, rollout.actions)
    if not any((numbers != numbers[0]).any() for numbers in policy):
        return None
    sums = tuple(float(numbers @ _WEIGHTS[: len(numbers)]) for numbers in (*policy, *paths))
    return sums if all(map(math.isfinite, sums)) else None


def _filled(*fields: Any) -> list[Tensor]:
    """An even sample of each field that has numbers."""
    flat = [field.detach().reshape(-1) for field in fields if isinstance(field, Tensor) and field.numel()]
    return [numbers[:: -(-len(numbers) // _MOST)].cpu().double() for numbers in flat]
