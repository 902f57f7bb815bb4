"""``OptimizerWatch``: calls before each step of a module's optimizers, and when a training step is over."""

import gc
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from puffer_callbacks.adapters.hook_calls import BeforeStep, OptimizerHooks
from puffer_callbacks.adapters.module_group import ModuleGroup
from puffer_callbacks.recorder.clipping import call_before_clip, stop_calling
from puffer_callbacks.recorder.registered_optimizers import parameter_ids


def optimizers_of(module: nn.Module) -> list[Optimizer]:
    """The living optimizers that hold a parameter of the module, in the order of its parameters.

    Python does not keep the order in which they were made, so that of optimizers with the same parameters is arbitrary.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> optimizers_of(layer) == [optimizer]
        True
    """
    listed = module.listed_parameters() if isinstance(module, ModuleGroup) else module.parameters()
    order = {id(parameter): at for at, parameter in enumerate(listed)}
    alive = [each for each in gc.get_objects() if issubclass(type(each), Optimizer)]
    # Fabric's wrapper has no parameter groups of its own
    found = [each for each in alive if "param_groups" in vars(each) and parameter_ids(each) & order.keys()]
    return sorted(found, key=lambda each: sorted(order[held] for held in parameter_ids(each) & order.keys()))


def unwrap_optimizers(optimizers: Any) -> list[Optimizer]:
    """One optimizer or several, without Fabric's wrappers.

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
    """Calls back at the steps of a module's optimizers.

    An optimizer that was not listed is found at its first step, with all others that are there by then. A training
    step is over when one of its optimizers steps again without a call of ``step_reported`` between the two. So of
    several optimizers, in whichever order they step, the steps of the busiest count.

    Args:
        module: the module whose optimizers they are.
        found: called with an optimizer that was not listed, and whether another has stepped in this training step.
        step_end: called when a training step is over that was not reported.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        found: Callable[[Optimizer, bool], None],
        step_end: Callable[[], None],
    ) -> None:
        self._module = module
        self._parameters = {id(parameter) for parameter in module.parameters()}
        self._found, self._step_end = found, step_end
        self._follows_steps = False
        self._before_step: BeforeStep | None = None
        self._before_clip: BeforeStep | None = None
        self._owned: dict[Optimizer, set[int]] = {}  # the identities of its parameters
        self._foreign: WeakSet[Optimizer] = WeakSet()
        self._finds = False
        self._handles: list[Any] = []
        self._stepped: dict[Optimizer, object] = {}  # the gradients that they stepped with
        self._clipped: set[Optimizer] = set()
        self._evaluated: set[Optimizer] = set()

    @property
    def has_unreported_step(self) -> bool:
        """Whether an optimizer has stepped since the last report."""
        return bool(self._stepped)

    def open(self, optimizers: Iterable[Optimizer], hooks: OptimizerHooks | None, *, find: bool) -> None:
        """Begin to watch.

        Args:
            optimizers: those that are listed.
            hooks: what to call at each step; ``None`` where no callback follows steps.
            find: whether to find other optimizers at their first step.
        """
        self._follows_steps, self._finds = hooks is not None, find
        for optimizer in optimizers:
            self._add(optimizer)
        if find:
            self._handles.append(register_optimizer_step_pre_hook(self._on_any_step))
        if hooks is not None and (hooks.before_step or hooks.before_clip):
            self._before_step, self._before_clip = hooks.before_step, hooks.before_clip
            may_measure = hooks.may_measure if hooks.before_clip is None else lambda: True
            call_before_clip(self._on_clip, is_wanted=may_measure)

    def step_reported(self) -> None:
        """The training step is over; a step that a gradient scaler skipped too."""
        if self._stepped or self._clipped:
            self._stepped.clear()
            self._clipped.clear()

    def close(self) -> None:
        """Remove every hook."""
        stop_calling(self._on_clip)
        while self._handles:
            self._handles.pop().remove()
        for steps in (self._owned, self._stepped, self._clipped, self._evaluated):
            steps.clear()

    def _add(self, optimizer: Optimizer) -> None:
        self._owned[optimizer] = parameter_ids(optimizer)
        if self._follows_steps and not self._finds:
            self._handles.append(optimizer.register_step_pre_hook(self._on_step))

    def _on_any_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if optimizer not in self._owned and optimizer not in self._foreign:
            self._on_new_optimizer(optimizer)
        follows = self._follows_steps and optimizer in self._owned
        return self._on_step(optimizer, args, kwargs) if follows else None

    def _on_new_optimizer(self, optimizer: Optimizer) -> None:
        if parameter_ids(optimizer) & self._parameters:
            for each in optimizers_of(self._module):
                if each not in self._owned:
                    self._add(each)
                    self._found(each, self.has_unreported_step)
        else:
            self._foreign.add(optimizer)

    def _on_clip(self, parameters: list[Tensor]) -> None:
        clipped = {id(parameter) for parameter in parameters}
        if any(clipped & self._owned[each] and _gradients(each) == old for each, old in self._stepped.items()):
            return  # after the step, for the norm alone
        self._end_step_before_clip(clipped)
        if self._before_clip is None:
            return
        for optimizer, owned in self._owned.items():
            if optimizer not in self._clipped and optimizer not in self._evaluated and clipped & owned:
                self._before_clip(optimizer)
                self._clipped.add(optimizer)  # a second clip is of other parameters, or an inner function's

    def _end_step_before_clip(self, clipped: set[int]) -> None:
        """End the training step before, where a parameter is clipped of which every optimizer has stepped in it."""
        if self._stepped:
            waiting = set[int]().union(*(owned for each, owned in self._owned.items() if each not in self._stepped))
            if any(clipped & self._owned[each] - waiting for each in self._stepped):
                self._end_step()

    def _on_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        if torch.compiler.is_compiling():
            return None
        if optimizer in self._stepped:
            self._end_step()
        if self._evaluated:
            self._evaluated.discard(optimizer)
        # a closure computes the gradients itself, so they are complete after its first call
        if len(args) > 1 and callable(args[1]):
            return (optimizer, self._observed(args[1], optimizer), *args[2:]), kwargs
        if kwargs and callable(kwargs.get("closure")):
            return args, {**kwargs, "closure": self._observed(kwargs["closure"], optimizer)}
        self._notify(optimizer)
        self._stepped[optimizer] = _gradients(optimizer)
        return None

    def _observed(self, closure: Callable[[], Any], optimizer: Optimizer) -> Callable[[], Any]:
        def run() -> Any:
            loss = closure()
            if optimizer not in self._evaluated:  # a line search calls it again
                self._notify(optimizer)
                self._evaluated.add(optimizer)
                self._stepped[optimizer] = None
            return loss

        return run

    def _notify(self, optimizer: Optimizer) -> None:
        if optimizer in self._clipped:
            self._clipped.remove(optimizer)
        elif self._before_clip is not None:
            self._before_clip(optimizer)
        if self._before_step is not None:
            self._before_step(optimizer)

    def _end_step(self) -> None:
        """End the training step before, which the loop has not reported."""
        self._stepped.clear()
        self._step_end()


def _gradients(optimizer: Optimizer) -> object:
    """What its first gradient is known by: another one, or more in it, is of another backward pass or a clip."""
    for group in optimizer.param_groups:  # plain loops: this runs at every step
        for parameter in group["params"]:
            gradient = parameter.grad
            if gradient is not None:
                return id(gradient), gradient._version
    return None
