"""Encoders of observations and perceptrons, the parts of actor and critic."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.nn.functional import one_hot

from puffer_callbacks.ppo.normalize import RunningMoments

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
}


def perceptron(
    inputs: int, hidden_sizes: Sequence[int], outputs: int, *, activation: str, gain: float
) -> nn.Sequential:
    """A multilayer perceptron, orthogonally initialized with zero biases (Huang et al. 2022, detail 2).

    Args:
        inputs: size of the input.
        hidden_sizes: units of each hidden layer, initialized with gain sqrt(2).
        outputs: size of the output.
        activation: a key of ``ACTIVATIONS``, after each hidden layer.
        gain: of the last layer: 0.01 makes a policy begin near uniform.
    """
    layers: list[nn.Module] = []
    for units_in, units_out in itertools.pairwise([inputs, *hidden_sizes]):
        layers += [_orthogonal(nn.Linear(units_in, units_out), math.sqrt(2)), ACTIVATIONS[activation]()]
    layers.append(_orthogonal(nn.Linear([inputs, *hidden_sizes][-1], outputs), gain))
    return nn.Sequential(*layers)


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class OneHot(nn.Module):
    """Choices [B] as one-hot vectors [B, n]; ``start`` is the smallest choice."""

    def __init__(self, n: int, *, start: int = 0) -> None:
        super().__init__()
        self.n, self.start = n, start
        self.moments: RunningMoments | None = None  # choices have no scale

    def forward(self, observations: Tensor) -> Tensor:
        """One-hot vectors [B, n]."""
        return one_hot(observations.long() - self.start, self.n).float()


class Flatten(nn.Module):
    """Observations [B, *shape] as float vectors [B, prod(shape)], normalized if ``norm_obs``.

    Args:
        shape: of one observation.
        norm_obs: whether to normalize by running moments.
        is_bytes: whether observations are from 0 to 255, as pixels are; they are scaled to [0, 1], unless normalized.
    """

    def __init__(self, shape: tuple[int, ...], *, norm_obs: bool, is_bytes: bool = False) -> None:
        super().__init__()
        self._scale = 1 / 255 if is_bytes and not norm_obs else None
        self.moments = RunningMoments(shape) if norm_obs else None
        self._flat = len(shape) == 1

    def forward(self, observations: Tensor) -> Tensor:
        """Vectors [B, prod(shape)]."""
        if observations.dtype != torch.float32:
            observations = observations.float()
        if self.moments is not None:
            observations = self.moments(observations)
        if self._scale is not None:
            observations = observations * self._scale
        return observations if self._flat else observations.reshape(len(observations), -1)


def encoder(space: spaces.Space[Any], *, norm_obs: bool) -> tuple[Flatten | OneHot, int]:
    """The module that encodes a space's observations as float vectors, and the vectors' length.

    Raises:
        ValueError: if the space is neither ``Box`` nor ``Discrete``.
    """
    if isinstance(space, spaces.Discrete):
        return OneHot(int(space.n), start=int(space.start)), int(space.n)
    if isinstance(space, spaces.Box):
        is_bytes = space.dtype == np.uint8 and bool((space.low == 0).all() and (space.high == 255).all())
        return Flatten(space.shape, norm_obs=norm_obs, is_bytes=is_bytes), math.prod(space.shape)
    wrapper = " in gymnasium.wrappers.FlattenObservation" if space.is_np_flattenable else ""
    raise ValueError(f"PPO: expected a Box or Discrete observation space, got {space}; wrap the environment{wrapper}")
