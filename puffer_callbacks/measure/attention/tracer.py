"""Torch function mode that captures attention weights."""

import sys
from collections.abc import Callable, Iterable, Mapping
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakTensorKeyDictionary

from puffer_callbacks.measure.attention.weights import (
    by_head,
    flex_weights,
    fused_weights,
    multi_head_weights,
)

_PRODUCTS = {
    *(torch.matmul, torch.bmm, torch.baddbmm, torch.einsum),
    *(Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, Tensor.bmm, Tensor.baddbmm),
}
_SOFTMAXES = {F.softmax, torch.softmax, torch.special.softmax, Tensor.softmax}
_WRAPPERS = {"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
_MAX_CALLS = 4  # per module and forward pass; a loop over time would yield a map for every step


class AttentionTracer(TorchFunctionMode):
    """A context that captures attention weights: ``captured`` maps names to [B, heads, queries, keys].

    A fused attention call returns its weights when the values are the identity matrix, whatever its mask,
    scale or grouping. Explicit attention is traced from product to softmax to product. No module is hooked:
    the one that is running is found on the stack.

    Args:
        module: the module whose submodules name the maps.
        max_samples: the number of samples kept of each map.
    """

    def __init__(self, module: nn.Module, max_samples: int) -> None:
        super().__init__()
        self.captured: dict[str, Tensor] = {}
        self._names = {id(part): _readable(name, part) for name, part in module.named_modules()}
        self._max_samples = max_samples
        self._scores = WeakTensorKeyDictionary()  # tensors derived from a product of two activations
        self._weights = WeakTensorKeyDictionary()  # tensors derived from a softmax of those

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` and capture the attention weights that it uses."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            self._keep(fused_weights(*args, **kwargs))
        elif func is F.multi_head_attention_forward:
            self._keep(multi_head_weights(*args, **kwargs))
        elif getattr(func, "__name__", "") == "flex_attention":
            self._keep(flex_weights(func, *args, **kwargs))
        operands = [*_tensors(args), *_tensors(kwargs.values())]
        if func in _PRODUCTS:
            for weights in [operand for operand in operands[-2:] if operand in self._weights][:1]:
                self._keep(weights)
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            self._mark(func, operands, result, kwargs.get("dim", args[1] if len(args) > 1 else None))
        return result

    def _mark(self, func: Callable[..., Any], operands: list[Tensor], result: Tensor, dim: object) -> None:
        if func in _PRODUCTS:
            if all(operand.ndim >= 3 for operand in operands[-2:]):  # a weight matrix has two
                self._scores[result] = True
        elif func in _SOFTMAXES:
            if operands[0] in self._scores and dim in (-1, result.ndim - 1):
                self._weights[result] = True
        else:  # masking, scaling, casts, dropout and splitting into heads keep [queries, keys]
            for marked in (self._scores, self._weights):
                if any(each in marked and each.shape[-2:] == result.shape[-2:] for each in operands):
                    marked[result] = True

    def _keep(self, weights: Tensor) -> None:
        part = self._running_module(sys._getframe())
        name = self._names[id(part)]
        calls = 1 + sum(each.partition("#")[0] == name for each in self.captured)
        if calls <= _MAX_CALLS:
            maps = by_head(weights.detach(), part)[: self._max_samples]
            dtype = torch.promote_types(maps.dtype, torch.float32)
            self.captured[f"{name}#{calls}" if calls > 1 else name] = maps.to(dtype, copy=True)

    def _running_module(self, frame: FrameType | None) -> object:
        while frame is not None:
            owner = frame.f_locals.get("self")
            if id(owner) in self._names:
                return owner
            frame = frame.f_back
        raise RuntimeError("expected the forward pass of the traced module on the stack, found none")


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    flat = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    return [each for each in flat if isinstance(each, Tensor)]


def _readable(path: str, part: nn.Module) -> str:
    return ".".join(name for name in path.split(".") if name not in _WRAPPERS) or type(part).__name__
