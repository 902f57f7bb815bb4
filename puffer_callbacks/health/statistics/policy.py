"""``PolicyFinder``: the part of a module that gives the rollout's log-probabilities."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

from torch import Tensor, nn

from puffer_callbacks.health.statistics.log_probs import PolicySample, log_probs_of, taken

_MOST_PARTS = 16
_SAME, _OTHER = 1e-4, 1e-3
"""Nats within which two log-probabilities are one, and beyond which they are not."""


class PolicyFinder:
    """Finds what to call for log-probabilities: the module, its ``policy``, or a part that gives logits.

    Parts are tried because an agent need not be callable: CleanRL's has an ``actor`` and methods. A part is the policy
    where its output explains the stored log-probabilities exactly.

    Example:
        >>> import torch
        >>> agent = nn.ModuleDict({"actor": nn.Linear(3, 2), "critic": nn.Linear(3, 1)})
        >>> observations, actions = torch.rand(8, 3), torch.tensor([0, 1] * 4)
        >>> log_probs = taken(agent["actor"](observations), actions).detach()
        >>> finder = PolicyFinder()
        >>> finder.find(agent, PolicySample(observations, actions, log_probs, log_probs)) is agent["actor"]
        True
        >>> finder.softmaxes
        1
    """

    def __init__(self) -> None:
        self._found: Any = None
        self.softmaxes: int | None = None
        """How many lie between the last linear layer and the log-probabilities, where they show: 1, or 2 by mistake."""

    def find(self, module: nn.Module, sample: PolicySample) -> nn.Module | None:
        """The policy; ``None`` where nothing gives the log-probabilities.

        Args:
            module: in training.
            sample: of a rollout that the policy has just collected.
        """
        for part in _parts(module) if self._found is None or self.softmaxes is None else ():
            log_probs, outputs = _outputs(part, sample)
            self.softmaxes = self.softmaxes or _softmaxes(outputs, sample)
            is_network = isinstance(part, nn.Sequential | nn.Linear)
            if (
                self._found is None
                and log_probs is not None
                and not (is_network and _differ(log_probs, sample.log_probs))
            ):
                self._found = part
        found: nn.Module | None = self._found
        return found


def _parts(module: nn.Module) -> Iterator[nn.Module]:
    """The module's ``policy``, the module, and its parts of two levels."""
    policy = getattr(module, "policy", None)
    if isinstance(policy, nn.Module):
        yield policy
    parts = (part for name, part in module.named_modules() if name.count(".") < 2 and part is not policy)
    yield from islice(
        (part for part in parts if isinstance(part, nn.Sequential | nn.Linear) or part is module), _MOST_PARTS
    )


def _outputs(part: nn.Module, sample: PolicySample) -> tuple[Tensor | None, list[Tensor]]:
    """The log-probabilities that a part gives, and the output of each linear layer on the way."""
    outputs: list[Tensor] = []
    layers = [layer for layer in part.modules() if isinstance(layer, nn.Linear)]
    handles = [layer.register_forward_hook(lambda _, __, output: outputs.append(output)) for layer in layers]
    try:
        return log_probs_of(part, sample.observations, sample.actions), outputs
    finally:
        for handle in handles:
            handle.remove()


def _softmaxes(outputs: list[Tensor], sample: PolicySample) -> int | None:
    """1 where the softmax of a layer's outputs gives the log-probabilities, 2 where a softmax of that does."""
    for output in outputs:
        with suppress(IndexError, RuntimeError, ValueError):  # of another layer
            once, twice = (_error(logits, sample) for logits in (output, output.softmax(-1)))
            if min(once, twice) < _SAME and max(once, twice) > _OTHER:
                return 1 if once < twice else 2
    return None


def _error(logits: Tensor, sample: PolicySample) -> float:
    return float((taken(logits, sample.actions) - sample.log_probs).abs().max())


def _differ(log_probs: Tensor, stored: Tensor) -> bool:
    return log_probs.shape != stored.shape or float((log_probs - stored).abs().max()) > _SAME
