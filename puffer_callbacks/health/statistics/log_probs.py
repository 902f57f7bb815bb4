"""Log-probabilities of stored actions under a module's policy as it is now."""

from typing import Any

import torch
from torch import Tensor, nn

from puffer_callbacks.rollout import Rollout

_MAX_STEPS = 2048


def policy_log_probs(module: Any, observations: Tensor, actions: Tensor) -> Tensor | None:
    """Log-probabilities [B] of actions at observations, in eval mode and without gradients.

    Args:
        module: one with ``evaluate_actions(observations, actions)`` that returns (values, log_probs, …), as
            Stable-Baselines3's policies have it, or one whose call returns (distribution, …); or one whose
            ``policy`` is such.
        observations: [B, *obs].
        actions: [B, *act].

    Returns:
        ``None`` where the module has neither.
    """
    for candidate in (module, getattr(module, "policy", None)):
        if not isinstance(candidate, nn.Module):
            continue
        modes = [(part, part.training) for part in candidate.modules()]
        try:
            for part, _ in modes:
                part.training = False
            with torch.no_grad():
                found = _call(candidate, observations, actions)
        finally:
            for part, training in modes:
                part.training = training
        if found is not None:
            return found.detach().flatten()
    return None


def steps_of(rollout: Rollout) -> dict[str, Tensor] | None:
    """An even sample of a rollout's steps: observations, actions, log-probs and advantages, each [B, …].

    Returns:
        ``None`` where a field is missing.
    """
    fields = ("observations", "actions", "log_probs", "advantages")
    tensors = {name: getattr(rollout, name) for name in fields}
    if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        return None
    stride = -(-rollout.num_steps * rollout.num_envs // _MAX_STEPS)
    return {name: tensor.detach().flatten(0, 1)[::stride].clone() for name, tensor in tensors.items()}


def _call(policy: nn.Module, observations: Tensor, actions: Tensor) -> Tensor | None:
    evaluate = getattr(policy, "evaluate_actions", None)
    if callable(evaluate):
        log_probs: Tensor = evaluate(observations, actions)[1]
        return log_probs
    try:
        output = policy(observations)
    except Exception:  # its call wants something else
        return None
    distribution: Any = output[0] if isinstance(output, tuple) and output else None
    if not callable(getattr(distribution, "log_prob", None)):
        return None
    log_probs = distribution.log_prob(actions)
    return log_probs.sum(-1) if log_probs.ndim > 1 else log_probs
