"""Log-probabilities of stored actions under a module's policy as it is now."""

import inspect
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from puffer_callbacks.rollout import Rollout

_MAX_STEPS = 512


@dataclass(frozen=True, eq=False)
class PolicySample:
    """An even sample of a rollout's steps.

    Args:
        observations: [B, *obs].
        actions: [B, *act].
        log_probs: [B].
        advantages: [B].
    """

    observations: Tensor
    actions: Tensor
    log_probs: Tensor
    advantages: Tensor

    @classmethod
    def of(cls, rollout: Rollout) -> Self | None:
        """The sample of a rollout; ``None`` where a field is missing."""
        names = ("observations", "actions", "log_probs", "advantages")
        tensors = {name: getattr(rollout, name) for name in names}
        if not rollout.num_steps or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            return None
        samples = {name: rollout.even_sample(tensor, most=_MAX_STEPS) for name, tensor in tensors.items()}
        return cls(**{name: sample.clone() for name, sample in samples.items()})


def policy_log_probs(module: Any, samples: Sequence[PolicySample]) -> list[Tensor] | None:
    """Log-probabilities [B] of each sample's actions, in one forward pass in eval mode and without gradients.

    Args:
        module: one whose call returns (distribution, …), or one with ``evaluate_actions(observations, actions)`` that
            returns (values, log_probs, …), as Stable-Baselines3's policies have it; or one whose ``policy`` is such.
        samples: one or several.

    Returns:
        ``None`` where the module has neither, or masks actions: a rollout keeps no masks.
    """
    observations = torch.cat([sample.observations for sample in samples])
    actions = torch.cat([sample.actions for sample in samples])
    for candidate in (getattr(module, "policy", None), module):
        if isinstance(candidate, nn.Module):
            found = _in_eval_mode(candidate, observations, actions)
            if found is not None:
                return list(torch.split(found.detach().flatten(), [len(sample.log_probs) for sample in samples]))
    return None


def _in_eval_mode(policy: nn.Module, observations: Tensor, actions: Tensor) -> Tensor | None:
    training = [part for part in policy.modules() if part.training]
    try:
        for part in training:
            part.training = False
        with torch.no_grad():
            return _call(policy, observations, actions)
    finally:
        for part in training:
            part.training = True


def _call(policy: nn.Module, observations: Tensor, actions: Tensor) -> Tensor | None:
    with suppress(Exception):  # its call wants something else
        evaluate = getattr(policy, "evaluate_actions", None)
        if callable(evaluate):
            if "action_masks" in inspect.signature(evaluate).parameters:
                return None
            evaluated: Tensor = evaluate(observations, actions)[1]
            return evaluated
        output = policy(observations)
        distribution: Any = output[0] if isinstance(output, tuple) and output else None
        if callable(getattr(distribution, "log_prob", None)):
            log_probs: Tensor = distribution.log_prob(actions)
            return log_probs.sum(-1) if log_probs.ndim > 1 else log_probs
    return None
