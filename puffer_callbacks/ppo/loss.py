"""The clipped surrogate objective of PPO."""

from collections.abc import Mapping

import torch
from torch import Tensor


def ppo_loss(
    log_probs: Tensor,
    entropy: Tensor,
    values: Tensor,
    batch: Mapping[str, Tensor],
    *,
    clip_coef: float,
    clip_vloss: bool,
    norm_adv: bool,
    ent_coef: float,
    vf_coef: float,
) -> dict[str, Tensor]:
    """The loss of a minibatch: policy + vf_coef * value - ent_coef * entropy (arXiv:1707.06347, equation 9).

    Args:
        log_probs: [B], of the actions under the policy now.
        entropy: [B], of the policy now.
        values: [B], the critic's estimates now.
        batch: ``log_probs``, ``values``, ``advantages`` and ``returns`` of the rollout, each [B].
        clip_coef: how far a probability ratio may move from 1.
        clip_vloss: whether the critic's move is limited by ``clip_coef`` too.
        norm_adv: whether the advantages are normalized within the minibatch.
        ent_coef: weight of the entropy bonus.
        vf_coef: weight of the value loss.

    Returns:
        ``loss``, differentiable, and, detached, ``policy_loss``, ``value_loss``, ``entropy``, ``approx_kl``
        and ``clip_fraction``; all 0-d.
    """
    advantages = normalize_advantages(batch["advantages"]) if norm_adv else batch["advantages"]
    metrics = policy_loss(log_probs - batch["log_probs"], advantages, clip_coef=clip_coef)
    clip = clip_coef if clip_vloss else None
    metrics["value_loss"] = value_loss(values, batch["returns"], batch["values"], clip=clip)
    metrics["entropy"] = entropy.mean()
    loss = metrics["policy_loss"] + vf_coef * metrics["value_loss"] - ent_coef * metrics["entropy"]
    return {"loss": loss, **{name: value.detach() for name, value in metrics.items()}}


def normalize_advantages(advantages: Tensor) -> Tensor:
    """Advantages of mean 0 and standard deviation 1; a batch of one is returned as it is.

    Args:
        advantages: [B].

    Example:
        >>> [round(advantage, 3) for advantage in normalize_advantages(torch.tensor([1.0, 3.0])).tolist()]
        [-0.707, 0.707]
    """
    if len(advantages) < 2:
        return advantages
    std, mean = torch.std_mean(advantages)
    return (advantages - mean) / (std + 1e-8)


def policy_loss(log_ratio: Tensor, advantages: Tensor, *, clip_coef: float) -> dict[str, Tensor]:
    """The clipped policy loss (arXiv:1707.06347, equation 7) and how far the policy has moved.

    Args:
        log_ratio: [B], log probability of the actions now, less that when they were taken.
        advantages: [B].
        clip_coef: how far the ratio may move from 1 before its gradient stops.

    Returns:
        ``policy_loss``, differentiable; ``approx_kl``, the estimate k3 = mean(ratio - 1 - log ratio) of
        http://joschu.net/blog/kl-approx.html, in nats; ``clip_fraction``, the share of ratios out of range.

    Example:
        >>> policy_loss(torch.zeros(2), torch.ones(2), clip_coef=0.2)["policy_loss"].item()
        -1.0
    """
    ratio = log_ratio.exp()
    surrogate = torch.minimum(advantages * ratio, advantages * ratio.clamp(1 - clip_coef, 1 + clip_coef))
    with torch.no_grad():
        moved = ratio - 1
        approx_kl = (moved - log_ratio).mean()
        clip_fraction = (moved.abs() > clip_coef).float().mean()
    return {"policy_loss": -surrogate.mean(), "approx_kl": approx_kl, "clip_fraction": clip_fraction}


def value_loss(values: Tensor, returns: Tensor, old_values: Tensor, *, clip: float | None = None) -> Tensor:
    """Half the critic's mean squared error; with ``clip``, that of the worse of clipped and unclipped.

    Args:
        values: [B], the critic's estimates now.
        returns: [B], its targets.
        old_values: [B], its estimates when the rollout was collected.
        clip: how far an estimate may move from the old one before its gradient stops; ``None`` for no limit.

    Example:
        >>> value_loss(torch.tensor([3.0]), torch.tensor([1.0]), torch.tensor([0.0])).item()
        2.0
    """
    errors = (values - returns).square()
    if clip is not None:
        clipped = old_values + (values - old_values).clamp(-clip, clip)
        errors = torch.maximum(errors, (clipped - returns).square())
    return 0.5 * errors.mean()
