"""``OptimizerSteps``: gradients measured at optimizer steps, before the clip, of steps that are taken."""

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from torch import Tensor
from torch.optim import LBFGS

from puffer_callbacks.overhead.guard import Guard
from puffer_callbacks.recorder.backward_norms import BackwardNorms
from puffer_callbacks.recorder.clipping import call_before_clip, stop_calling
from puffer_callbacks.recorder.counters import Counters, OptimizerCounter
from puffer_callbacks.recorder.old_gradients import OldGradients
from puffer_callbacks.recorder.optimizer_schedule import OptimizerStep
from puffer_callbacks.recorder.registered_optimizers import parameter_ids


class OptimizerSteps:
    """Calls ``before_optimizer_step`` of the callbacks that are due, and what it returns right after the step.

    A step may be announced and not taken, as where a gradient scaler meets an infinity: what was measured of it is
    dropped.

    Args:
        callbacks: the trainer's callbacks; those with ``before_optimizer_step`` and ``gradient_schedule`` are called.
        counters: the run's counters.
        guard: returns a block whose time and faults are those of the callback of this name.
        on_measured: called after a step of which something was measured.
    """

    def __init__(
        self,
        callbacks: Iterable[Any],
        counters: Counters,
        *,
        guard: Callable[[str], Guard],
        on_measured: Callable[[], None],
    ) -> None:
        self.callbacks = [each for each in callbacks if getattr(each, "gradient_schedule", None) is not None]
        """Those that measure gradients."""
        self._counters, self._guard_of, self._on_measured = counters, guard, on_measured
        self._guard = guard(type(self).__name__)
        self._backward_norms = BackwardNorms(self._guard, after_backward=self._after_backward)
        self._watched: set[int] = set()
        self._old_gradients: dict[int, OldGradients] = defaultdict(partial(OldGradients, self._guard))
        self._arguments: tuple[Any, Any] = (None, None)

    def open(self, trainer: Any, pl_module: Any) -> None:
        """Begin a fit: watch for gradients that are clipped before the optimizer's own hooks."""
        self._arguments = (trainer, pl_module)
        if self.callbacks:
            call_before_clip(self._before_clip, is_wanted=self._counters.may_inspect, after_unscale=self._after_unscale)
            self._backward_norms.watch(pl_module.parameters())
            for counter in self._counters.optimizers.values():
                self._watched.add(counter.index)
                self._old_gradients[counter.index].follow(_parameters(counter.optimizer))

    def close(self) -> None:
        """End the fit."""
        stop_calling(self._before_clip)
        self._backward_norms.release()
        for each in self._old_gradients.values():
            each.release()
        self._old_gradients.clear()
        self._watched = set()
        self._arguments = (None, None)

    def before_step(self, counter: OptimizerCounter) -> None:
        """An optimizer is about to step: its gradients are complete, and as a rule not yet clipped."""
        if counter.clip_seen:
            counter.clip_seen = False
        elif not _evaluates_again(counter):
            counter.step_seen = True
            self._measure(counter, is_clipped=self._backward_norms.have_changed(_parameters(counter.optimizer)))

    def _before_clip(self, parameters: list[Tensor]) -> None:
        if any(map(self._is_inspected, self._counters.optimizers.values())):
            with self._guard:
                self._measure_before_clip(parameters)

    def _is_inspected(self, counter: OptimizerCounter) -> bool:
        is_seen = counter.clip_seen or counter.step_seen or _evaluates_again(counter)
        return not is_seen and self._counters.steps_with(counter) >= counter.inspected_from

    def _after_unscale(self, optimizer: Any) -> None:
        """Dividing gradients by the scale of the loss is no clip, and comes before any."""
        if (counter := self._counters.of(optimizer)) is not None:
            counter.clip_seen = False
        with self._guard:
            self._backward_norms.keep(_parameters(optimizer))

    def _after_backward(self, parameters: Iterable[Tensor]) -> None:
        """Forget a clip after which no step was taken: these are the gradients of another one."""
        reached = {id(parameter) for parameter in parameters}
        for counter in self._counters.optimizers.values():
            if counter.clip_seen and reached & parameter_ids(counter.optimizer):
                counter.clip_seen = False

    def _measure_before_clip(self, parameters: list[Tensor]) -> None:
        clipped = {id(parameter) for parameter in parameters}
        for counter in self._counters.optimizers.values():
            if self._is_inspected(counter) and clipped & parameter_ids(counter.optimizer):
                counter.clip_seen = True
                self._measure(counter, is_clipped=False)

    def _measure(self, counter: OptimizerCounter, *, is_clipped: bool) -> None:
        old = self._old_gradients[counter.index]
        step = OptimizerStep(
            counter.index,
            counter.steps + 1,
            self._counters.steps_with(counter),
            is_clipped,
            followed=old.parameter,
            has_old_gradients=old.found,
            gap=counter.expected_gap,
        )
        after = []
        for callback in self.callbacks:
            if callback.gradient_schedule.is_called(step):
                finish = None
                with self._guard_of(type(callback).__name__):
                    finish = callback.before_optimizer_step(*self._arguments, counter.optimizer, step)
                if finish is not None:
                    after.append((callback, finish))
        counter.after_step = lambda: self._after_step(counter, after)
        self._refresh(counter)

    def _after_step(self, counter: OptimizerCounter, after: list[tuple[Any, Callable[[], None]]]) -> None:
        counter.clip_seen = counter.step_seen = False
        for callback, finish in after:
            with self._guard_of(type(callback).__name__):
                finish()
        self._refresh(counter)
        self._watch_next_backward(counter)
        if after:
            self._on_measured()

    def _refresh(self, counter: OptimizerCounter) -> None:
        """Set the step from which on this optimizer is inspected: earlier for one that steps only sometimes."""
        wanted = [callback.gradient_schedule.inspected_from(counter.index) for callback in self.callbacks]
        counter.inspected_from = min(wanted, default=sys.maxsize) - counter.expected_gap + 1
        each = [other.inspected_from for other in self._counters.optimizers.values()]
        self._counters.inspected_from = min(each, default=0)

    def _watch_next_backward(self, counter: OptimizerCounter) -> None:
        """Watch the backward passes before a step that is measured, which comes after one that is inspected."""
        if self._counters.optimizer_steps >= counter.inspected_from:
            self._watched.add(counter.index)
            self._backward_norms.watch(self._arguments[1].parameters())
            self._old_gradients[counter.index].follow(_parameters(counter.optimizer))
        else:
            self._watched.discard(counter.index)
            self._old_gradients[counter.index].release()
            if not self._watched:
                self._backward_norms.release()


def _evaluates_again(counter: OptimizerCounter) -> bool:
    """Whether this is another evaluation of the closure in a step whose first one was measured."""
    return counter.after_step is not None and isinstance(counter.optimizer, LBFGS)


def _parameters(optimizer: Any) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
