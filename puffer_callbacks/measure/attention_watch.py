"""A torch function mode that sees attention happen."""

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

_PRODUCTS = {
    *(torch.matmul, torch.bmm, torch.baddbmm, torch.einsum),
    *(Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.bmm, Tensor.baddbmm),
}
_SOFTMAXES = {F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax}
_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_HEADS = ("num_heads", "n_heads", "num_attention_heads", "n_head", "nhead", "heads")
_MOST_CALLS = 4  # of one module in one forward pass: a loop over time would give a map for every step


class AttentionWatch(TorchFunctionMode):
    """Keeps the attention weights of all that runs inside of it: ``seen``, name to [B, heads, queries, keys].

    A fused attention call gives its weights when it is handed the identity in the place of the values,
    whatever its mask, scale or grouping. Attention that is written out is followed from product to softmax
    to product. No module is hooked: the one at work is found on the stack.

    Args:
        module: whose submodules name the maps.
        max_samples: of the first dimension, the most that are kept.
    """

    def __init__(self, module: nn.Module, max_samples: int) -> None:
        super().__init__()
        self.seen: dict[str, Tensor] = {}
        self._names = {id(part): _readable(name, part) for name, part in module.named_modules()}
        self._max_samples = max_samples
        self._scores = WeakTensorKeyDictionary()  # tensors that came from a product of two activations
        self._weights = WeakTensorKeyDictionary()  # those that came from a softmax of such

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func``, and keep the attention weights that it uses."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self._keep(fused_weights(*args, **kwargs))
        elif func is F.multi_head_attention_forward:
            self._keep(multi_head_weights(*args, **kwargs))
        operands = [*_tensors(args), *_tensors(kwargs.values())]
        if func in _PRODUCTS:
            for weights in [operand for operand in operands[-2:] if operand in self._weights][:1]:
                self._keep(weights)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            self._follow(func, operands, result, kwargs.get("dim", args[1] if len(args) > 1 else None))
        return result

    def _follow(self, func: Callable[..., Any], operands: list[Tensor], result: Tensor, dim: object) -> None:
        if func in _PRODUCTS:
            if all(operand.ndim >= 3 for operand in operands[-2:]):  # a matrix of parameters has two
                self._scores[result] = True
        elif func in _SOFTMAXES:
            if operands[0] in self._scores and dim in (-1, result.ndim - 1):
                self._weights[result] = True
        else:  # a mask, a scale, a cast, dropout and a split into heads all keep [queries, keys]
            for marked in (self._scores, self._weights):
                if any(each in marked and each.shape[-2:] == result.shape[-2:] for each in operands):
                    marked[result] = True

    def _keep(self, weights: Tensor) -> None:
        part = self._at_work(sys._getframe())
        name = self._names[id(part)]
        calls = 1 + sum(seen.partition("#")[0] == name for seen in self.seen)
        if calls <= _MOST_CALLS:
            maps = by_head(weights.detach(), part)[: self._max_samples]
            dtype = torch.promote_types(maps.dtype, torch.float32)
            self.seen[f"{name}#{calls}" if calls > 1 else name] = maps.to(dtype, copy=True)

    def _at_work(self, frame: FrameType | None) -> object:
        while frame is not None:
            owner = frame.f_locals.get("self")
            if id(owner) in self._names:
                return owner
            frame = frame.f_back
        raise RuntimeError("expected the forward pass of the watched module on the stack, found none")


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
        value: unused but for its place.
        attn_mask: as there; so are the further options.
        dropout_p: unused.

    Returns:
        [..., heads, queries, keys]; zeros for a query whose keys are all masked.

    Example:
        >>> fused_weights(torch.zeros(2, 4), torch.zeros(2, 4), torch.ones(2, 4), is_causal=True)
        tensor([[1.0000, 0.0000],
                [0.5000, 0.5000]])
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    if attn_mask is not None and attn_mask.is_floating_point():
        attn_mask = attn_mask.to(dtype)
    keys = key.shape[-2]
    identity = torch.eye(keys, dtype=dtype, device=key.device).expand(*key.shape[:-1], keys)
    return F.scaled_dot_product_attention(query.to(dtype), key.to(dtype), identity, attn_mask, **options)


def multi_head_weights(*args: Any, **kwargs: Any) -> Tensor:
    """The weights of each head that ``F.multi_head_attention_forward`` computes from the same arguments.

    Returns:
        [B, heads, queries, keys], or [heads, queries, keys] for an input without a batch.
    """
    bound = _MULTI_HEAD.bind(*args, **kwargs)
    bound.arguments.update(need_weights=True, average_attn_weights=False, training=False)
    weights = F.multi_head_attention_forward(*bound.args, **bound.kwargs)[1]
    assert weights is not None
    return weights


def by_head(weights: Tensor, part: object) -> Tensor:
    """Weights [..., queries, keys] as [B, heads, queries, keys], by the number of heads of ``part``."""
    heads = next((n for n in (getattr(part, name, None) for name in _HEADS) if isinstance(n, int) and n), 1)
    if weights.ndim == 3 and len(weights) % heads == 0:
        return weights.reshape(-1, heads, *weights.shape[-2:])
    if weights.ndim <= 3:
        return weights.reshape(-1, 1, *weights.shape[-2:])
    return weights.flatten(0, -4)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    flat = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    return [each for each in flat if isinstance(each, Tensor)]


def _readable(path: str, part: nn.Module) -> str:
    return ".".join(name for name in path.split(".") if name not in _WRAPPERS) or type(part).__name__
