"""Weights between two rollouts: how far each module moved, and how large it is."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from puffer_callbacks.values.module_names import by_module

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
        self._before_pause: dict[str, Tensor] = {}
        self._norms: dict[str, float] = {}
        self._scales: dict[str, float] = {}
        """Of each parameter, what the norm of its sample is multiplied by."""

    def pause(self) -> None:
        """Leave out what happens until the next call."""
        self._before_pause, self._previous, self._norms = self._previous, {}, {}

    @torch.no_grad()
    def update(self, parameters: Iterable[tuple[str, Tensor]]) -> dict[str, float]:
        """Norm of each module's own weights, and the norm of their change over their norm before.

        Some parts rest in most updates, as target networks do: a module that has not changed since the last call is
        compared with what it was at the last ``pause``.

        Args:
            parameters: names and tensors; of more than a million elements an even sample is followed.

        Returns:
            ``diagnostics/weight_norm/<module>`` and, from the second call on, ``diagnostics/weight_change/<module>``,
            0 where not one weight of the sample has changed; none for a module that has other parameters than before.
        """
        weights = dict(parameters)
        current = _sample(weights)
        if not current:
            return {}
        self._scales = {n: math.sqrt(weights[n].numel() / max(len(part), 1)) for n, part in current.items()}
        known = [name for name, part in current.items() if _is_same_size(part, self._previous.get(name))]
        moved = torch._foreach_sub([current[n] for n in known], [self._previous[n] for n in known]) if known else ()
        lengths = torch.stack(torch._foreach_norm([*current.values(), *moved])).tolist()  # brought to the host together
        norms = self._by_module(current, lengths[: len(current)])
        moves = self._by_module(known, lengths[len(current) :])
        moves |= self._moves_since_pause(current, {module for module, move in moves.items() if move == 0})
        new = by_module({name: None for name in current if name not in known})
        changes = {m: move / max(self._norms[m], 1e-12) for m, move in moves.items() if m not in new}
        if self._previous:
            self._before_pause = {}
        self._previous, self._norms = current, norms
        return {
            **{f"diagnostics/weight_norm/{module}": norm for module, norm in norms.items()},
            **{f"diagnostics/weight_change/{module}": change for module, change in changes.items()},
        }

    def _moves_since_pause(self, current: dict[str, Tensor], modules: set[str]) -> dict[str, float]:
        """How far modules that rested since the last call have moved since the pause before it."""
        names = by_module({name: name for name in current if name in self._before_pause})
        resting = [name for module in modules & names.keys() for name in names[module]]
        same = [name for name in resting if _is_same_size(current[name], self._before_pause[name])]
        if not same:
            return {}
        moved = torch._foreach_sub([current[n] for n in same], [self._before_pause[n] for n in same])
        return self._by_module(same, torch.stack(torch._foreach_norm(moved)).tolist())

    def _by_module(self, names: Iterable[str], norms: Iterable[float]) -> dict[str, float]:
        """The norm of each module's own parameters, from the norm of each one's sample."""
        parts = by_module({name: self._scales[name] * norm for name, norm in zip(names, norms, strict=True)})
        return {module: math.hypot(*each) for module, each in parts.items()}


def _sample(parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Flat copies of all weights, or of every n-th of each tensor, on one device."""
    if not parameters:
        return {}
    tensors = list(parameters.values())
    stride = -(-sum(tensor.numel() for tensor in tensors) // _MAX_ELEMENTS) or 1
    parts = [tensor.reshape(-1)[::stride].to(tensors[0].device, torch.float32) for tensor in tensors]
    return dict(zip(parameters, torch.split(torch.cat(parts), [len(part) for part in parts]), strict=True))


def _is_same_size(part: Tensor, before: Tensor | None) -> bool:
    return before is not None and before.shape == part.shape
