"""Weights between two rollouts: how far each module moved, and how large it is."""

import math
from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

_MAX_ELEMENTS = 2**20


class WeightTracker:
    """Follows the weights of a module from rollout to rollout.

    Example:
        >>> tracker = WeightTracker()
        >>> tracker.update([("net.weight", torch.ones(4))])
        {'diagnostics/weight_norm/net': 2.0}
        >>> tracker.update([("net.weight", torch.zeros(4))])
        {'diagnostics/weight_norm/net': 0.0, 'diagnostics/weight_change/net': 1.0}
    """

    def __init__(self) -> None:
        self._names: list[str] = []
        self._previous = torch.zeros(0)
        self._norms: dict[str, float] = {}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
        """Norm of each module's own weights, and the norm of their change over their norm before.

        Args:
            parameters: names and tensors; of more than a million elements an even sample is followed.

        Returns:
            ``diagnostics/weight_norm/<module>`` and, from the second call on, ``diagnostics/weight_change/<module>``,
            0 where not one weight of the sample has changed.
        """
        named = dict(parameters)
        if not named:
            return {}
        flat, sizes = _sample(list(named.values()))
        known = list(named) == self._names and flat.shape == self._previous.shape
        parts = [*torch.split(flat, sizes), *(torch.split(flat - self._previous, sizes) if known else ())]
        lengths = torch.stack(torch._foreach_norm(parts)).tolist()  # brought to the host together
        norms, moves = _by_module(named, lengths[: len(named)]), _by_module(named, lengths[len(named) :])
        changes = {module: move / max(self._norms[module], 1e-12) for module, move in moves.items()}
        self._names, self._previous, self._norms = list(named), flat, norms
        return {
            **{f"diagnostics/weight_norm/{module}": norm for module, norm in norms.items()},
            **{f"diagnostics/weight_change/{module}": change for module, change in changes.items()},
        }


def _sample(parameters: list[Tensor]) -> tuple[Tensor, list[int]]:
    """A flat copy of all weights, or of every n-th of each tensor, and how many are of each."""
    stride = -(-sum(parameter.numel() for parameter in parameters) // _MAX_ELEMENTS) or 1
    device = parameters[0].device
    parts = [parameter.reshape(-1)[::stride].to(device, torch.float32) for parameter in parameters]
    return torch.cat(parts), [len(part) for part in parts]


def _by_module(names: Iterable[str], norms: Iterable[float]) -> dict[str, float]:
    """The norm of each module's own parameters, from the norms of these; of the first ones where some are missing."""
    parts: dict[str, list[float]] = defaultdict(list)
    for name, norm in zip(names, norms, strict=False):
        parts[name.rpartition(".")[0] or name].append(norm)
    return {module: math.hypot(*each) for module, each in parts.items()}
