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
        named = [(name, parameter.detach()) for name, parameter in parameters]
        stride = -(-sum(parameter.numel() for _, parameter in named) // _MAX_ELEMENTS) or 1
        parts: dict[str, list[Tensor]] = defaultdict(list)
        for name, parameter in named:
            parts[name.rpartition(".")[0] or name].append(parameter.reshape(-1)[::stride].float())
        current = {module: torch.cat(tensors) for module, tensors in parts.items()}
        known = [
            module for module, before in self._previous.items()
            if module in current and before.shape == current[module].shape
        ]  # fmt: skip
        moved = [current[module] - self._previous[module] for module in known]
        norms = _norms(current)
        moves = _norms(dict(zip(known, moved, strict=True)))
        changes = {module: moves[module] / max(self._norms[module], 1e-12) for module in known}
        self._previous, self._norms = current, norms
        return {
            **{f"diagnostics/weight_norm/{module}": norm for module, norm in norms.items()},
            **{f"diagnostics/weight_change/{module}": change for module, change in changes.items()},
        }


def _norms(tensors: dict[str, Tensor]) -> dict[str, float]:
    """The Euclidean norms, brought to the host together."""
    if not tensors:
        return {}
    return dict(zip(tensors, torch.stack([tensor.norm() for tensor in tensors.values()]).tolist(), strict=True))
