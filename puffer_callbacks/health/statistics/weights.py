"""Weights between two rollouts: how far each module moved, and how large it is."""

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
        self._previous: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
        """Norm of each module's own weights, and the norm of their change over their norm before.

        Args:
            parameters: names and tensors; of more than a million elements an even sample is followed.

        Returns:
            ``diagnostics/weight_norm/<module>`` and, from the second call on, ``diagnostics/weight_change/<module>``,
            0 where not one weight of the sample has changed.
        """
        named = [(name, parameter.detach()) for name, parameter in parameters]
        stride = -(-sum(parameter.numel() for _, parameter in named) // _MAX_ELEMENTS) or 1
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for name, parameter in named:
            parts[name.rpartition(".")[0] or name].append(parameter.reshape(-1)[::stride].float())
        current = {module: torch.cat(tensors) for module, tensors in parts.items()}
        norms = {module: float(weights.norm()) for module, weights in current.items()}
        changes = {}
        for module, before in self._previous.items():
            if module in current and before.shape == current[module].shape:
                changes[module] = float((current[module] - before).norm()) / max(float(before.norm()), 1e-12)
        self._previous = {module: weights.clone() for module, weights in current.items()}
        return {
            **{f"diagnostics/weight_norm/{module}": norm for module, norm in norms.items()},
            **{f"diagnostics/weight_change/{module}": change for module, change in changes.items()},
        }
