"""Attention weights of torch's attention functions."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_HEADS = ("num_heads", "n_heads", "num_attention_heads", "n_head", "nhead", "heads")


def fused_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    **options: Any,
) -> Tensor:
    """The weights of ``F.scaled_dot_product_attention``, before dropout, in float32 or more.

    Args:
        query: [..., heads, queries, features].
        key: [..., heads or groups, keys, features].
        value: unused.
        attn_mask: as in that function; so are the further options.
        dropout_p: unused.

    Returns:
        [..., heads, queries, keys]; zero for a query whose keys are all masked.

    Example:
        >>> fused_weights(torch.zeros(2, 4), torch.zeros(2, 4), torch.ones(2, 4), is_causal=True)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]])
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.to(dtype)
    return F.scaled_dot_product_attention(query.to(dtype), key.to(dtype), _identity(key, dtype), attn_mask, **options)


def flex_weights(func: Callable[..., Any], query: Tensor, key: Tensor, value: Tensor, *options: Any) -> Tensor:
    """The weights of torch's ``flex_attention``, with any score and mask functions.

    Args:
        func: the operator that implements it.
        query: [B, heads, queries, features].
        key: [B, heads or groups, keys, features].
        value: unused.
        options: as in that function.

    Returns:
        [B, heads, queries, keys].
    """
    weights: Tensor = func(query, key, _identity(key, query.dtype), *options)[0]
    return weights


def _identity(key: Tensor, dtype: torch.dtype) -> Tensor:
    keys = key.shape[-2]
    return torch.eye(keys, dtype=dtype, device=key.device).expand(*key.shape[:-1], keys)


def multi_head_weights(*args: Any, **kwargs: Any) -> Tensor:
    """The weights of each head in ``F.multi_head_attention_forward``, called with the same arguments.

    Returns:
        [B, heads, queries, keys], or [heads, queries, keys] for an input without a batch.
    """
    bound = _MULTI_HEAD.bind(*args, **kwargs)
    bound.arguments.update(need_weights=True, average_attn_weights=False, training=False)
    weights = F.multi_head_attention_forward(*bound.args, **bound.kwargs)[1]
    assert weights is not None
    return weights


def by_head(weights: Tensor, part: object) -> Tensor:
    """Weights [..., queries, keys] reshaped to [B, heads, queries, keys], by the heads attribute of ``part``."""
    heads = next((n for n in (getattr(part, name, None) for name in _HEADS) if isinstance(n, int) and n), 1)
    if weights.ndim == 3 and len(weights) % heads == 0:
        return weights.reshape(-1, heads, *weights.shape[-2:])
    if weights.ndim <= 3:
        return weights.reshape(-1, 1, *weights.shape[-2:])
    return weights.flatten(0, -4)
