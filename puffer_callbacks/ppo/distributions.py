"""Light action distributions: only what PPO needs, without argument checks.

Noise is drawn for a whole rollout at once and a sample is a function of it: the Gumbel-max trick for choices,
``mean + std * noise`` for real numbers.
"""

import math
from functools import cached_property

import torch
from torch import Tensor


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel noise: the argmax of logits + noise is a sample of the categorical distribution."""
    return torch.empty(shape).exponential_(generator=generator).log_().neg_()


class Categorical:
    """A categorical distribution over n choices.

    Args:
        logits: [B, n].

    Example:
        >>> Categorical(torch.zeros(1, 4)).log_prob(torch.tensor([2])).exp().item()
        0.25
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    def sample(self, noise: Tensor) -> Tensor:
        """Choices [B] for Gumbel noise [B, n]."""
        return (self.logits + noise).argmax(-1)

    def mode(self) -> Tensor:
        """The likeliest choices [B]."""
        return self.logits.argmax(-1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log probability [B] of the choices [B]."""
        return self._log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy [B] in nats."""
        return -(self._log_probs.exp() * self._log_probs).sum(-1)

    @cached_property
    def _log_probs(self) -> Tensor:
        return self.logits.log_softmax(-1)


class MultiCategorical:
    """Independent categorical distributions, as for a ``MultiDiscrete`` space.

    Args:
        logits: [B, sum(sizes)].
        sizes: the number of options of each choice.

    Example:
        >>> MultiCategorical(torch.zeros(1, 6), (2, 4)).entropy().exp().round().item()
        8.0
    """

    def __init__(self, logits: Tensor, sizes: tuple[int, ...]) -> None:
        self.sizes = sizes
        self.choices = [Categorical(part) for part in torch.split(logits, list(sizes), -1)]

    def sample(self, noise: Tensor) -> Tensor:
        """Choices [B, k] for Gumbel noise [B, sum(sizes)]."""
        parts = zip(self.choices, torch.split(noise, list(self.sizes), -1), strict=True)
        return torch.stack([choice.sample(part) for choice, part in parts], -1)

    def mode(self) -> Tensor:
        """The likeliest choices [B, k]."""
        return torch.stack([choice.mode() for choice in self.choices], -1)

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log probability [B] of the choices [B, k]."""
        parts = zip(self.choices, actions.unbind(-1), strict=True)
        return torch.stack([choice.log_prob(part) for choice, part in parts]).sum(0)

    def entropy(self) -> Tensor:
        """Entropy [B] in nats."""
        return torch.stack([choice.entropy() for choice in self.choices]).sum(0)


class DiagonalGaussian:
    """A normal distribution with a diagonal covariance; actions are not clipped, so that their density is exact.

    Args:
        mean: [B, k].
        log_std: [k], the same for every observation.

    Example:
        >>> standard = DiagonalGaussian(torch.zeros(1, 1), torch.zeros(1))
        >>> round(standard.log_prob(torch.zeros(1, 1)).item(), 4)  # -log(2 pi) / 2
        -0.9189
    """

    def __init__(self, mean: Tensor, log_std: Tensor) -> None:
        self.mean, self.log_std = mean, log_std

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [B, k] for standard normal noise [B, k]."""
        return self.mean + self.log_std.exp() * noise

    def mode(self) -> Tensor:
        """The means [B, k]."""
        return self.mean

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density [B] of the actions [B, k]."""
        scaled = (actions - self.mean) * (-self.log_std).exp()
        constant = self.log_std.sum() + 0.5 * len(self.log_std) * math.log(2 * math.pi)
        return -0.5 * scaled.square().sum(-1) - constant

    def entropy(self) -> Tensor:
        """Entropy [B] in nats."""
        entropy = self.log_std.sum() + 0.5 * len(self.log_std) * math.log(2 * math.pi * math.e)
        return entropy.expand(len(self.mean))


ActionDistribution = Categorical | MultiCategorical | DiagonalGaussian
