"""Whether a value loss pairs each value with its own target, or, by a broadcast, all values with all targets."""

import math
from typing import Any

import torch
from torch import Tensor

from puffer_callbacks.histogram.local_tensor import where_float64_is

_FACTORS = (0.5, 1.0)
"""Of the mean squared error in usual value losses."""
_SHARP = 1e-3
"""The covariance's share of the error from which on float32 distinguishes the two."""
_ROUNDING, _KNOWN = 1e-6, 2e-3
"""Of a value that is computed again, over its size; and the error of the weight that may come of it."""


@torch.no_grad()
def pair_moments(values: Any, targets: Any) -> Tensor | None:
    """The mean squared error over all pairs of a value and a target, the covariance of those that belong together, and
    the largest magnitude of a number.

    Args:
        values: [B] or [B, 1], or more dimensions; anything but a tensor gives ``None``.
        targets: as many numbers.

    Example:
        >>> pair_moments(torch.tensor([0.0, 2.0]), torch.tensor([[0.0], [2.0]])).tolist()
        [2.0, 1.0, 2.0]
    """
    if not isinstance(values, Tensor) or not isinstance(targets, Tensor) or not 0 < values.numel() == targets.numel():
        return None
    values, targets = (where_float64_is(each.detach()).double().flatten() for each in (values, targets))
    first, second = values - values.mean(), targets - targets.mean()
    error = first.square().mean() + second.square().mean() + (values.mean() - targets.mean()).square()
    largest = torch.maximum(values.abs().max(), targets.abs().max())
    return torch.stack([error, (first * second).mean(), largest])


def pairing(loss: float, moments: Tensor) -> float | None:
    """The weight w of the covariance in a value loss c · (error − 2 w covariance), with a factor c of 0.5 or 1.

    Returns:
        1 for the mean of (value − target)², 0 for that over all pairs, [B, B], and another number for another loss;
        ``None`` where values and targets are hardly correlated, or differ by little more than float32 rounds off, so
        that the two are alike.

    Example:
        >>> moments = pair_moments(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 2.0]))
        >>> pairing(0.0, moments), pairing(1.0, moments), pairing(2.0, moments)
        (1.0, 0.0, 0.0)
    """
    error, covariance, largest = (float(moment) for moment in moments)
    rounding = 2 * math.sqrt(error) * _ROUNDING * largest if error >= 0 else math.nan
    if not math.isfinite(loss) or not abs(2 * covariance) > max(_SHARP * error, rounding / _KNOWN):
        return None
    weights = [(error - loss / factor) / (2 * covariance) for factor in _FACTORS]
    return min(weights, key=lambda weight: min(abs(weight), abs(weight - 1)))
