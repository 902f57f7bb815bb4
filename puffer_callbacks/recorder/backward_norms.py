"""``BackwardNorms``: finds clips that are not torch's, by gradients that changed after the backward pass."""

import math
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from puffer_callbacks.values.scalars import to_host

_RELATIVE = 1e-6


class BackwardNorms:
    """The norms of gradients as the last backward pass left them, to compare with those that an optimizer is given.

    Norms, as ``p.grad.data.clamp_(-1, 1)`` leaves no other trace. Hooks on the parameters cost about a microsecond
    each, so they are there only while a step to come is measured.

    Args:
        guard: a block within the backward pass, which must not end with one of its faults.
        after_backward: called at the end of a backward pass with the parameters that it reached.

    Example:
        >>> from contextlib import nullcontext
        >>> weight, norms = torch.nn.Parameter(torch.ones(2)), BackwardNorms(nullcontext())
        >>> norms.watch([weight])
        >>> (3 * weight).sum().backward()
        >>> norms.have_changed([weight])
        False
        >>> _ = weight.grad.data.clamp_(-1, 1)
        >>> norms.have_changed([weight])
        True
    """

    def __init__(
        self,
        guard: AbstractContextManager[Any],
        *,
        after_backward: Callable[[list[Tensor]], None] = lambda _: None,
    ) -> None:
        self._guard, self._call_after_backward = guard, after_backward
        self._norms: dict[int, Tensor] = {}
        self._reached: list[Tensor] = []
        self._handles: list[Any] = []

    def watch(self, parameters: Iterable[Tensor]) -> None:
        """Keep the norms of each backward pass from now on, until ``release``."""
        if not self._handles:
            leaves = [p for p in parameters if p.requires_grad and p.is_leaf and not is_lazy(p)]
            hook = self._after_accumulation
            self._handles = [p.register_post_accumulate_grad_hook(hook) for p in leaves]  # type: ignore[no-untyped-call]

    def release(self) -> None:
        """Remove the hooks, and forget the norms."""
        while self._handles:
            self._handles.pop().remove()
        self._norms, self._reached = {}, []

    def keep(self, parameters: Iterable[Tensor]) -> None:
        """Keep the norms of these parameters' gradients as they are now."""
        self._norms.update(_norms(parameters))

    def have_changed(self, parameters: Iterable[Tensor]) -> bool:
        """Whether a gradient is another one than its backward pass left; no, where that was not watched."""
        watched = [parameter for parameter in parameters if id(parameter) in self._norms]
        now = _norms(watched)
        if not now:
            return False
        numbers = to_host([*(self._norms[key] for key in now), *now.values()])
        return not all(map(_is_close, numbers[: len(now)], numbers[len(now) :]))

    def _after_accumulation(self, parameter: Tensor) -> None:
        if not self._reached:  # by now DDP has not queued its copying of averaged gradients: ours comes after it
            with self._guard:
                _at_end_of_backward(lambda: _at_end_of_backward(self._end_of_backward))
        self._reached.append(parameter)

    def _end_of_backward(self) -> None:
        reached, self._reached = self._reached, []
        with self._guard:
            self.keep(reached)
        with self._guard:
            self._call_after_backward(reached)


def _at_end_of_backward(function: Callable[[], None]) -> None:
    torch.autograd.Variable._execution_engine.queue_callback(function)


def _is_close(before: float, after: float) -> bool:
    return math.isclose(before, after, rel_tol=_RELATIVE) or (math.isnan(before) and math.isnan(after))


@torch.no_grad()
def _norms(parameters: Iterable[Tensor]) -> dict[int, Tensor]:
    """By the parameter's identity, of dense gradients; of a ``DTensor`` that of the local shard."""
    gradients = {id(p): _local(p.grad) for p in parameters if p.grad is not None and p.grad.layout is torch.strided}
    return dict(zip(gradients, torch._foreach_norm(list(gradients.values())), strict=True)) if gradients else {}


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
