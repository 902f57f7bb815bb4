"""Attention maps of any model, captured during a forward pass."""

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from puffer_callbacks.measure.attention.tracer import AttentionTracer
from puffer_callbacks.measure.forward_pass.call import forward
from puffer_callbacks.measure.forward_pass.isolation import isolated


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """The attention weights of one layer.

    Args:
        layer: the path of the module that attends; ``#2`` is appended for its second call in one forward
            pass, and so on.
        weights: float [B, heads, queries, keys], each row a distribution over the keys; the row of a query
            whose keys are all masked is zero.

    Example:
        >>> AttentionMap("encoder.0", torch.full((1, 2, 3, 4), 0.25)).entropy()
        tensor([1.3863, 1.3863])
    """

    layer: str
    weights: Tensor

    def entropy(self) -> Tensor:
        """The entropy of each head [heads] in nats, see ``head_entropy``."""
        return head_entropy(self.weights)


def head_entropy(weights: Tensor) -> Tensor:
    """The entropy of each head's attention: the mean of -Σ p ln p over the keys (Shannon 1948).

    The mean is over samples and queries, without queries whose keys are all masked. A head that attends to a
    single key has entropy 0, one that attends to K keys equally has ln K.

    Args:
        weights: [B, heads, queries, keys].

    Returns:
        [heads], in nats; NaN for a head without a finite row.

    Example:
        >>> head_entropy(torch.eye(3).reshape(1, 1, 3, 3))
        tensor([0.])
    """
    attends = weights.sum(-1) > 0  # false for NaN too
    entropy: Tensor = torch.special.entr(weights).sum(-1)
    return torch.where(attends, entropy, 0).sum((0, 2)) / attends.sum((0, 2))


def attention_maps(module: nn.Module, batch: object, *, max_samples: int = 8) -> list[AttentionMap]:
    """The attention maps of one forward pass, which does not change the module.

    Captured are ``F.scaled_dot_product_attention``, ``F.multi_head_attention_forward`` (and so
    ``nn.MultiheadAttention`` and every ``nn.Transformer…``), ``flex_attention``, and explicit attention: a
    product of two activations, its softmax over the last dimension, and the product of that with a third.
    Weights are those before dropout. Not captured are scripted modules and the kernels of other packages.

    Args:
        module: any module.
        batch: the input of its forward pass, see ``forward``.
        max_samples: the number of samples kept of each map.

    Raises:
        ValueError: if the forward pass fails with the batch, or contains no attention.

    Example:
        >>> layer = nn.TransformerEncoderLayer(8, nhead=2, batch_first=True)
        >>> [(m.layer, list(m.weights.shape)) for m in attention_maps(layer, torch.zeros(1, 5, 8))]
        [('self_attn', [1, 2, 5, 5])]
    """
    tracer = AttentionTracer(module, max_samples)
    with isolated(module), warnings.catch_warnings(), tracer:
        # a compiled flex_attention runs eagerly here, which torch warns about
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        forward(module, batch)
    if not tracer.captured:
        raise ValueError(
            f"expected attention, but {type(module).__name__} attends to nothing in its forward pass; "
            f"pass a probe that reaches its attention, or leave the attention maps out"
        )
    return [AttentionMap(layer, weights) for layer, weights in tracer.captured.items()]
