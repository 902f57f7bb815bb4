"""Following the optimizers of a module: before each step, and when a training step is over."""

import gc
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from puffer_callbacks.adapters import clipping


def optimizers_of(module: nn.Module) -> list[Optimizer]:
    """The living optimizers that hold a parameter of the module.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> optimizers_of(layer) == [optimizer]
        True
    """
    parameters = {id(parameter) for parameter in module.parameters()}
    alive = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]
    # Fabric's wrapper has no parameter groups of its own
    return [each for each in alive if "param_groups" in vars(each) and _parameters(each) & parameters]


def unwrap_optimizers(optimizers: Any) -> list[Optimizer]:
    """One optimizer or several, out of what Fabric wraps around them.

    Raises:
        TypeError: if one of them is no optimizer.
    """
    listed = list(optimizers) if isinstance(optimizers, list | tuple) else [optimizers]
    inner = [getattr(optimizer, "optimizer", optimizer) for optimizer in listed]
    for optimizer in inner:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizers: expected torch optimizers, got {type(optimizer).__name__}")
    return inner


class OptimizerWatch:
    """Tells what happens at a module's optimizers.

    An optimizer that nobody named is found at its first step. A training step is over when one of its
    optimizers comes round again without ``reported`` having been called between: of several optimizers, in
    whichever order they step, the busiest gives the beat.

    Args:
        module: whose optimizers they are.
        found: called with an optimizer that nobody named.
        before: called with an optimizer before each step, its gradients complete and not yet clipped.
        over: called when a training step is over that nobody reported.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        found: Callable[[Optimizer], None],
        before: Callable[[Optimizer], None],
        over: Callable[[], None],
    ) -> None:
        self._parameters = {id(parameter) for parameter in module.parameters()}
        self._found, self._before, self._over = found, before, over
        self._owned: dict[Optimizer, set[int]] = {}
        self._foreign: WeakSet[Optimizer] = WeakSet()
        self._handles: list[Any] = []
        self._stepped: set[Optimizer] = set()
        self._clipped: dict[Optimizer, set[int]] = {}

    @property
    def unreported(self) -> bool:
        """Whether an optimizer has stepped since the last report."""
        return bool(self._stepped)

    def open(self, optimizers: Iterable[Optimizer], *, find: bool) -> None:
        """Begin with these optimizers; ``find`` others as they step."""
        for optimizer in optimizers:
            self._watch(optimizer)
        if find:
            self._handles.append(register_optimizer_step_pre_hook(self._meet))
        clipping.listen(self._before_clip)

    def reported(self) -> None:
        """The training step is over, and somebody said so."""
        self._stepped.clear()

    def close(self) -> None:
        """Leave nothing behind."""
        clipping.unlisten(self._before_clip)
        while self._handles:
            self._handles.pop().remove()
        self._owned.clear()
        self._stepped.clear()
        self._clipped.clear()

    def _watch(self, optimizer: Optimizer) -> None:
        self._owned[optimizer] = _parameters(optimizer)
        self._handles.append(optimizer.register_step_pre_hook(self._before_step))
        self._handles.append(optimizer.register_step_post_hook(self._after_step))

    def _meet(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if optimizer in self._owned or optimizer in self._foreign:
            return
        if _parameters(optimizer) & self._parameters:
            self._watch(optimizer)
            self._found(optimizer)
        else:
            self._foreign.add(optimizer)

    def _before_clip(self, parameters: list[Tensor]) -> None:
        clipped = {id(parameter) for parameter in parameters}
        for optimizer, owned in self._owned.items():
            before = self._clipped.get(optimizer)
            if not clipped & owned:
                continue
            if before is None or before & clipped:  # else a second group of parameters in the same step
                self._tell(optimizer)
                before = self._clipped[optimizer] = set()
            before |= clipped

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if torch.compiler.is_compiling():
            return None
        # a closure makes the gradients itself, so they can be told of only after it
        if len(args) > 1 and callable(args[1]):
            return (optimizer, self._telling(args[1], optimizer), *args[2:]), kwargs
        if callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._telling(kwargs["closure"], optimizer)}
        self._tell_once(optimizer)
        return None

    def _telling(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        told = False

        def run() -> Any:
            nonlocal told
            loss = closure()
            if not told:  # a line search calls it again
                self._tell_once(optimizer)
            told = True
            return loss

        return run

    def _tell_once(self, optimizer: Optimizer) -> None:
        if self._clipped.pop(optimizer, None) is None:
            self._tell(optimizer)

    def _after_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        self._stepped.add(optimizer)

    def _tell(self, optimizer: Optimizer) -> None:
        if optimizer in self._stepped:
            self._stepped.clear()
            self._over()
        self._before(optimizer)


def _parameters(optimizer: Optimizer) -> set[int]:
    return {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
