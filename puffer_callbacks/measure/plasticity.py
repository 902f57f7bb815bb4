"""Plasticity of a layer, from its activations on a batch."""

import torch
from torch import Tensor

from puffer_callbacks.histogram.local_tensor import where_float64_is

DORMANT_THRESHOLD = 0.025
"""Score at or below which a unit is dormant (Sokar et al. 2023, arXiv:2302.12902, section 4.1)."""


def dormant_ratio(activations: Tensor, *, threshold: float = DORMANT_THRESHOLD) -> float:
    """The share of dormant units (Sokar et al. 2023, arXiv:2302.12902, definition 3.1).

    A unit's score is the mean of its absolute activation over the batch, divided by the mean of that over the layer's
    units; it is dormant where the score is at most ``threshold``.

    Args:
        activations: [B, H], or [B, …, H] with the units in the last dimension.
        threshold: τ, at least 0.

    Returns:
        A share in [0, 1]; 1 where no unit is active.

    Example:
        >>> dormant_ratio(torch.tensor([[1.0, 0.0], [3.0, 0.0]]))
        0.5
    """
    magnitudes = where_float64_is(activations.detach()).reshape(-1, activations.shape[-1]).abs()
    scores = magnitudes.sum(0, dtype=torch.float64)
    return int((scores <= threshold * scores.mean()).sum()) / len(scores)


def effective_rank(features: Tensor, *, delta: float = 0.01) -> int:
    """The effective rank of a feature matrix (Kumar et al. 2021, arXiv:2010.14498, section 3).

    The smallest k for which the k largest singular values make up at least 1 − ``delta`` of the sum of all.

    Args:
        features: [B, H].
        delta: the share of the singular values that may be left out.

    Returns:
        An integer from 0 (all features are 0) to min(B, H).

    Example:
        >>> effective_rank(torch.diag(torch.tensor([1.0, 1.0, 1e-6])))
        2
    """
    singular_values = torch.linalg.svdvals(_rows(features))
    total = singular_values.sum()
    if total == 0:
        return 0
    share = singular_values.cumsum(0) / total
    return int((share[:-1] < 1 - delta).sum()) + 1


def feature_norm(features: Tensor) -> float:
    """The mean Euclidean norm of the feature vectors [B, H] (Moalla et al. 2024, arXiv:2405.00662, section 2).

    Example:
        >>> feature_norm(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        2.5
    """
    return float(_rows(features).norm(dim=-1).mean())


def saturated_ratio(activations: Tensor, *, bounds: tuple[float, float] = (-1.0, 1.0), limit: float = 0.99) -> float:
    """The share of a bounded layer's activations that are nearly at a bound.

    Args:
        activations: of any shape.
        bounds: of the layer: tanh's by default.
        limit: how far from the middle to a bound an activation is not yet saturated.

    Example:
        >>> saturated_ratio(torch.tensor([[1.0, 0.2]])), saturated_ratio(torch.tensor([0.001, 0.5]), bounds=(0.0, 1.0))
        (0.5, 0.5)
    """
    low, high = bounds
    distances = (activations.detach() - (low + high) / 2).abs()
    return int((distances > limit * (high - low) / 2).sum()) / activations.numel()


def _rows(tensor: Tensor) -> Tensor:
    return where_float64_is(tensor.detach()).double().reshape(-1, tensor.shape[-1])
