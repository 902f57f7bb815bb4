"""The networks of actor and critic."""

from collections.abc import Sequence
from typing import Any, cast

import torch
from gymnasium import spaces
from torch import Tensor, nn

from puffer_callbacks.ppo.distributions import (
    ActionDistribution,
    Categorical,
    DiagonalGaussian,
    MultiCategorical,
    gumbel_noise,
)
from puffer_callbacks.ppo.networks import Flatten, OneHot, encoder, perceptron


class ActorCritic(nn.Module):
    """Actor and critic, two separate perceptrons over the same observation.

    Args:
        observation_space: ``Box`` of any shape (flattened; bytes from 0 to 255 are scaled to [0, 1]) or ``Discrete``
            (one-hot).
        action_space: ``Discrete``, ``MultiDiscrete`` or ``Box`` (a normal distribution whose standard
            deviation is learned and does not depend on the observation).
        hidden_sizes: units of the hidden layers of each network.
        activation: a key of ``networks.ACTIVATIONS``.
        log_std_init: initial log standard deviation of continuous actions.
        norm_obs: whether observations are normalized by their running mean and variance.

    Raises:
        ValueError: if a space is of another kind.

    Example:
        >>> policy = ActorCritic(spaces.Box(-1, 1, (3,)), spaces.Discrete(2))
        >>> distribution, values = policy(torch.zeros(5, 3))
        >>> distribution.entropy().shape, values.shape
        (torch.Size([5]), torch.Size([5]))
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        *,
        hidden_sizes: Sequence[int] = (64, 64),
        activation: str = "tanh",
        log_std_init: float = 0.0,
        norm_obs: bool = False,
    ) -> None:
        super().__init__()
        self.encode: Flatten | OneHot
        self.encode, inputs = encoder(observation_space, norm_obs=norm_obs)
        self.num_outputs, self._sizes = _head(action_space)
        self.actor = perceptron(inputs, hidden_sizes, self.num_outputs, activation=activation, gain=0.01)
        self.critic = perceptron(inputs, hidden_sizes, 1, activation=activation, gain=1.0)
        self.continuous = isinstance(action_space, spaces.Box)
        if self.continuous:
            self.log_std = nn.Parameter(torch.full((self.num_outputs,), float(log_std_init)))

    def forward(self, observations: Tensor) -> tuple[ActionDistribution, Tensor]:
        """The distribution over actions and the value [B], at the observations [B, *obs]."""
        encoded = self._encoded(observations)
        return self._distribution(self.actor(encoded)), self.critic(encoded).squeeze(-1)

    def distribution(self, observations: Tensor) -> ActionDistribution:
        """The distribution over actions alone, at the observations [B, *obs]."""
        return self._distribution(self.actor(self._encoded(observations)))

    def value(self, observations: Tensor) -> Tensor:
        """The critic's values [B] of the observations [B, *obs]."""
        values: Tensor = self.critic(self._encoded(observations))
        return values.squeeze(-1)

    def noise(self, *shape: int, generator: torch.Generator) -> Tensor:
        """Noise for the distribution's ``sample``: [*shape, num_outputs], on the CPU."""
        if self.continuous:
            return torch.randn(*shape, self.num_outputs, generator=generator)
        return gumbel_noise((*shape, self.num_outputs), generator)

    def _encoded(self, observations: Tensor) -> Tensor:
        encoded: Tensor = self.encode(observations)
        return encoded.to(cast(nn.Linear, self.actor[0]).weight.dtype)  # double, where the trainer wants that

    def _distribution(self, outputs: Tensor) -> ActionDistribution:
        if self.continuous:
            return DiagonalGaussian(outputs, self.log_std)
        return MultiCategorical(outputs, self._sizes) if self._sizes else Categorical(outputs)


def _head(space: spaces.Space[Any]) -> tuple[int, tuple[int, ...]]:
    """The number of the actor's outputs, and the sizes of its choices where there are several."""
    if isinstance(space, spaces.Discrete):
        return int(space.n), ()
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return int(space.nvec.sum()), tuple(int(n) for n in space.nvec)
    if isinstance(space, spaces.Box) and len(space.shape) == 1:
        return space.shape[0], ()
    raise ValueError(
        f"PPO: expected a Discrete, a one-dimensional MultiDiscrete or a one-dimensional Box action space, "
        f"got {space}; wrap the environment"
    )
