"""``OldGradients``: whether the gradients of a step are added to those of the step before, which were not zeroed."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy


class OldGradients:
    """Follows one parameter from the end of a step to the next one, through every backward pass between.

    A backward pass adds to what ``.grad`` holds. Gradients are old where the first pass finds exactly those that the
    optimizer has stepped with, and no later one finds none or zeros: the pass of another loss may leave gradients that
    are zeroed before the optimizer's own. Values are compared, as ``p.grad.data.zero_()`` leaves no other trace.

    Args:
        guard: a block within the backward pass, which must not end with one of its faults.

    Example:
        >>> from contextlib import nullcontext
        >>> weight, old = torch.nn.Parameter(torch.ones(2)), OldGradients(nullcontext())
        >>> for _ in range(2):
        ...     (3 * weight).sum().backward()
        ...     print(old.found)
        ...     old.follow([weight])
        None
        tensor(True)
    """

    def __init__(self, guard: AbstractContextManager[Any]) -> None:
        self._guard = guard
        self.parameter: Tensor | None = None
        """The one that is followed."""
        self.found: Tensor | None = None
        """Whether its gradients are old, a 0-d bool on its device; ``None`` before a backward pass has reached it."""
        self._stepped_with: Tensor | None = None
        self._before: Tensor | None = None
        self._handles: list[Any] = []

    def follow(self, parameters: Iterable[Tensor]) -> None:
        """Follow the smallest of these parameters, of those with a gradient if there are some.

        Args:
            parameters: of an optimizer, right after a step; or before its first one, where gradients begin at ``None``
                after a resume too.
        """
        self.release()
        candidates = filter(_may_be_followed, parameters)
        chosen = min(candidates, key=lambda each: (each.grad is None, each.numel()), default=None)
        if chosen is not None:
            self.parameter, self._stepped_with = chosen, _copy(chosen.grad)
            before = chosen.register_hook(self._keep)  # type: ignore[no-untyped-call]
            after = chosen.register_post_accumulate_grad_hook(self._compare)  # type: ignore[no-untyped-call]
            self._handles = [before, after]

    def release(self) -> None:
        """Remove the hooks, and forget what was found."""
        while self._handles:
            self._handles.pop().remove()
        self.parameter = self.found = self._stepped_with = self._before = None

    def _keep(self, _: Tensor) -> None:
        """Before the accumulation, or before ``torch.autograd.grad`` returns a gradient that is added to none."""
        with self._guard:
            self._before = None if self.parameter is None else _copy(self.parameter.grad)

    @torch.no_grad()
    def _compare(self, parameter: Tensor) -> None:
        """After the accumulation."""
        with self._guard:
            before, self._before = self._before, None
            if before is None or self._stepped_with is None:
                self.found = torch.zeros((), dtype=torch.bool, device=parameter.device)
            elif self.found is None:
                self.found = (before == self._stepped_with).all() & before.any()
            else:
                self.found = self.found & before.any()


def _may_be_followed(parameter: Tensor) -> bool:
    """Whether it is a leaf with a dense gradient, not empty, no shard of a ``DTensor`` and not without a shape yet."""
    is_dense = parameter.grad is None or parameter.grad.layout is torch.strided
    is_whole = not hasattr(parameter, "placements") and not is_lazy(parameter)
    return is_dense and is_whole and parameter.numel() > 0 and parameter.is_leaf and parameter.requires_grad


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.detach().clone()
