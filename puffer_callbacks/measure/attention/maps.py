"""Attention maps of any model: what each head looks at, seen from outside while the model runs."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from puffer_callbacks.measure.attention.tracer import AttentionWatch
from puffer_callbacks.measure.forward_pass.call import forward
from puffer_callbacks.measure.forward_pass.isolation import isolated


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The attention weights of one layer.

    Args:
        layer: the path of the module that attends; with ``#2`` at its second call in one forward pass, and
            so on.
        weights: float [B, heads, queries, keys], each row a distribution over the keys; a query that may
            look at nothing has a row of zeros.

    Example:
        >>> AttentionMap("encoder.0", torch.full((1, 2, 3, 4), 0.25)).entropy()
        tensor([1.3863, 1.3863])
    """

    layer: str
    weights: Tensor

    def entropy(self) -> Tensor:
        """The entropy of each head, [heads] in nats: see ``head_entropy``."""
        return head_entropy(self.weights)


def head_entropy(weights: Tensor) -> Tensor:
    """How widely each head looks: the mean of -Σ p ln p over the keys (Shannon 1948).

    The mean is over samples and queries; a query that may look at nothing is left out. A head that looks at
    one key has 0, one that looks at K keys alike has ln K.

    Args:
        weights: [B, heads, queries, keys].

    Returns:
        [heads], in nats; NaN for a head without a single finite row.

    Example:
        >>> head_entropy(torch.eye(3).reshape(1, 1, 3, 3))
        tensor([0.])
    """
    looking = weights.sum(-1) > 0  # false for NaN too
    entropy: Tensor = torch.special.entr(weights).sum(-1)
    return torch.where(looking, entropy, 0).sum((0, 2)) / looking.sum((0, 2))


def attention_maps(module: nn.Module, batch: object, *, max_samples: int = 8) -> list[AttentionMap]:
    """The attention maps of one forward pass, which leaves no trace in the module.

    Seen are ``F.scaled_dot_product_attention``, ``F.multi_head_attention_forward`` (so
    ``nn.MultiheadAttention`` and every ``nn.Transformer…``), ``flex_attention``, and attention written out: a
    product of two activations, its softmax over the last dimension, and the product of that with a third.
    Weights are those before dropout. Not seen is what runs outside of torch's own functions: a scripted
    module, a kernel of another package.

    Args:
        module: any module.
        batch: what its forward pass takes: see ``forward``.
        max_samples: of the first dimension of each map, the most that are kept.

    Raises:
        ValueError: if the module refuses the batch, or attends to nothing in its forward pass.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, nhead=2, batch_first=True)
        >>> [(m.layer, list(m.weights.shape)) for m in attention_maps(layer, torch.zeros(1, 5, 8))]
        [('self_attn', [1, 2, 5, 5])]
    """
    watch = AttentionWatch(module, max_samples)
    with isolated(module), warnings.catch_warnings(), watch:
        # a compiled flex_attention runs eagerly here, and would say so
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        forward(module, batch)
    if not watch.seen:
        raise ValueError(
            f"expected attention, but {type(module).__name__} attends to nothing in its forward pass; "
            f"give a probe that reaches its attention, or leave the attention maps out"
        )
    return [AttentionMap(layer, weights) for layer, weights in watch.seen.items()]
