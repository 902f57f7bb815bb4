"""``PolicyFinder``: the part of a module that gives the rollout's log-probabilities."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from puffer_callbacks.health.statistics.log_probs import SAME, PolicySample, log_probs_of, taken

_MOST_PARTS, _MOST_SEARCHES = 16, 8
_OTHER = 1e-3
"""Nats beyond which two log-probabilities are not one."""


class PolicyFinder:
    """Finds what to call for log-probabilities: the module's ``policy``, the module, or a part that gives logits.

    Parts are tried because an agent need not be callable: CleanRL's has an ``actor`` and methods. What gives logits is
    the policy where these explain the stored log-probabilities exactly.

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
        self._name: str | None = None  # a reference would keep the module, and pickle it with the callback
        self._searches = 0
        self.softmaxes: int | None = None
        """How many lie between the last linear layer and the log-probabilities, where they show: 1, or 2 by mistake."""

    def find(self, module: nn.Module, sample: PolicySample) -> nn.Module | None:
        """The policy; ``None`` where nothing gives the log-probabilities, at this call or an earlier one.

        Args:
            module: in training.
            sample: of a rollout that the policy has just collected.
        """
        if self._searches < _MOST_SEARCHES and (self._name is None or self.softmaxes is None):
            self._searches += 1
            self._search(module, sample)
        return self.found_in(module)

    def found_in(self, module: nn.Module) -> nn.Module | None:
        """The policy where it was found before."""
        return None if self._name is None else module.get_submodule(self._name)

    def _search(self, module: nn.Module, sample: PolicySample) -> None:
        for name, part in _parts(module):
            log_probs, outputs = _outputs(part, sample)
            if self.softmaxes is None:
                self.softmaxes = _softmaxes(outputs, sample)
            if self._name is None and log_probs is not None:
                self._name = name
            if self._name is not None and self.softmaxes is not None:
                return


def _parts(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The module's ``policy``, the module, and networks among its parts of two levels; each with its name."""
    policy = getattr(module, "policy", None)
    if isinstance(policy, nn.Module):
        yield "policy", policy
    if policy is not module:
        yield "", module
    networks = (
        (name, part)
        for name, part in module.named_modules()
        if isinstance(part, nn.Sequential | nn.Linear) and name.count(".") < 2 and part not in (module, policy)
    )
    # a call with other inputs than its own would give a lazy layer their shape
    yield from islice(((n, part) for n, part in networks if not any(map(is_lazy, part.parameters()))), _MOST_PARTS)


def _outputs(part: nn.Module, sample: PolicySample) -> tuple[Tensor | None, list[Tensor]]:
    """The log-probabilities that a part gives, and each output [B, n] of a linear layer on the way."""
    outputs: list[Tensor] = []

    def keep(_: nn.Module, __: object, output: object) -> None:
        if isinstance(output, Tensor) and output.ndim == 2 and len(output) == len(sample.log_probs):
            outputs.append(output)

    handles = [layer.register_forward_hook(keep) for layer in part.modules() if isinstance(layer, nn.Linear)]
    try:
        return log_probs_of(part, sample.observations, sample.actions, stored=sample.log_probs), outputs
    finally:
        for handle in handles:
            handle.remove()


def _softmaxes(outputs: list[Tensor], sample: PolicySample) -> int | None:
    """1 where the softmax of a layer's outputs gives the log-probabilities, 2 where a softmax of that does."""
    for output in outputs:
        with suppress(IndexError, RuntimeError):  # of another layer
            once, twice = (_error(logits, sample) for logits in (output, output.softmax(-1)))
            if min(once, twice) < SAME and max(once, twice) > _OTHER:
                return 1 if once < twice else 2
    return None


def _error(logits: Tensor, sample: PolicySample) -> float:
    return float((taken(logits, sample.actions) - sample.log_probs).abs().max())
