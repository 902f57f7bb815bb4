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
SAME = 1e-4
"""Nats within which two log-probabilities are one."""


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
        """The sample of a rollout; ``None`` where a field is missing or empty."""
        names = ("observations", "actions", "log_probs", "advantages")
        tensors = {name: getattr(rollout, name) for name in names}
        if not all(isinstance(tensor, Tensor) and tensor.numel() for tensor in tensors.values()):
            return None
        samples = {name: rollout.even_sample(tensor, most=_MAX_STEPS) for name, tensor in tensors.items()}
        return cls(**{name: sample.clone() for name, sample in samples.items()})


def policy_log_probs(policy: nn.Module, samples: Sequence[PolicySample]) -> list[Tensor] | None:
    """Log-probabilities [B] of each sample's actions, in one forward pass in eval mode and without gradients.

    Args:
        policy: as ``log_probs_of`` takes it.
        samples: one or several.
    """
    observations = torch.cat([sample.observations for sample in samples])
    actions = torch.cat([sample.actions for sample in samples])
    found = log_probs_of(policy, observations, actions)
    return None if found is None else list(torch.split(found, [len(sample.log_probs) for sample in samples]))


def log_probs_of(
    policy: nn.Module, observations: Tensor, actions: Tensor, *, stored: Tensor | None = None
) -> Tensor | None:
    """Log-probabilities [B] of actions, in eval mode and without gradients.

    Args:
        policy: one whose call returns (distribution, …), or logits [B, n]; or one with
            ``evaluate_actions(observations, actions)`` that returns (values, log_probs, …), as Stable-Baselines3's
            policies have it.
        observations: [B, *obs].
        actions: [B, *act].
        stored: [B], what logits have to give, where it is not known that they are logits: a tensor may be anything.

    Returns:
        ``None`` where the policy is none of these, or masks actions: a rollout keeps no masks.
    """
    training = [part for part in policy.modules() if part.training]
    try:
        for part in training:
            part.training = False
        with torch.no_grad(), suppress(Exception):  # its call wants something else
            found = _call(policy, observations, actions, stored)
            return None if found is None else found.detach().flatten()
    finally:
        for part in training:
            part.training = True
    return None


def _call(policy: nn.Module, observations: Tensor, actions: Tensor, stored: Tensor | None) -> Tensor | None:
    evaluate = getattr(policy, "evaluate_actions", None)
    if callable(evaluate):
        if "action_masks" in inspect.signature(evaluate).parameters:
            return None
        evaluated: Tensor = evaluate(observations, actions)[1]
        return evaluated
    output = policy(observations)
    if isinstance(output, Tensor):
        found = taken(output, actions)
        return found if stored is None or _agree(found, stored) else None
    distribution: Any = output[0] if isinstance(output, tuple) and output else None
    if callable(getattr(distribution, "log_prob", None)):
        log_probs: Tensor = distribution.log_prob(actions)
        return log_probs.sum(-1) if log_probs.ndim > 1 else log_probs
    return None


def _agree(log_probs: Tensor, stored: Tensor) -> bool:
    return log_probs.shape == stored.shape and float((log_probs - stored).abs().max()) <= SAME


def taken(logits: Tensor, actions: Tensor) -> Tensor:
    """The log-probability [B] of each action [B], or [B, 1], among those of its logits [B, n].

    Raises:
        IndexError: if the logits are no such matrix, or an action is not the number of one of them: on a GPU a wrong
            index would end the process.
    """
    if logits.ndim != 2 or logits.shape[-1] < 2 or actions.numel() != len(logits):
        raise IndexError(f"logits: expected [{actions.numel()}, n], got {list(logits.shape)}")
    chosen, most = actions.long().reshape(-1, 1), logits.shape[-1] - 1
    if not bool(((chosen == actions.reshape(-1, 1)) & (chosen >= 0) & (chosen <= most)).all()):
        raise IndexError(f"actions: expected whole numbers from 0 to {most}")
    return logits.log_softmax(-1).gather(-1, chosen).squeeze(-1)
