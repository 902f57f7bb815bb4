"""``Counters``: environment steps and the steps of each optimizer."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

from torch.optim import Optimizer

from puffer_callbacks.axes import Axes, now
from puffer_callbacks.recorder.continued_count import ContinuedCount
from puffer_callbacks.recorder.learning_rates import rate_name, rates_in, rates_of
from puffer_callbacks.recorder.registered_optimizers import RegisteredOptimizer, first_parameter, registered_index
from puffer_callbacks.values.scalars import Scalar, to_floats

_UNKNOWN_GAP = sys.maxsize // 2  # of one that may step only sometimes


class OptimizerCounter:
    """The steps of one optimizer.

    Args:
        index: its place among the run's optimizers.
        optimizer: a torch optimizer.
        registered: by what it is found again after a resume, and its steps so far.
    """

    def __init__(self, index: int, optimizer: Optimizer, registered: RegisteredOptimizer) -> None:
        self.index, self.optimizer = index, optimizer
        self.parameter, self.steps = registered.parameter, registered.steps
        self.inspected_from = 0
        """The run's step from which on its steps are inspected: one or more before its gradients are measured."""
        self.clip_seen = False
        """Whether the gradients of the step to come were measured before they were clipped."""
        self.step_seen = False
        """Whether they were measured as the step was announced, which in Lightning comes before the clip."""
        self.expected_gap = _UNKNOWN_GAP
        """The run's steps within which it is expected to step again."""
        self.last_step: int | None = None
        """The run's optimizer steps after its last step in this fit."""
        self.after_step: Callable[[], None] | None = None
        """Called once, right after the next step."""


class Counters:
    """Counts environment steps and optimizer steps; optimizer steps at the optimizers, so that manual optimization
    and bare loops count too.

    With several optimizers the run's count is that of the busiest one: ``Trainer.global_step`` adds them all up.

    Args:
        handle: given an exception after a step, returns whether it is dealt with; it must not end the user's step.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer, counters = torch.optim.SGD([weight], lr=0.1), Counters()
        >>> counters.watch(None, [optimizer])
        >>> optimizer.step(); counters.axes().optimizer_steps
        1
    """

    def __init__(self, handle: Callable[[Exception], bool] = lambda error: False) -> None:
        self._handle = handle
        self.optimizer_steps = 0
        """Updates so far."""
        self.learning_rates: dict[str, Scalar] = {}
        """The rate of each optimizer and parameter group at its last step: a scheduler may have moved on since."""
        self.optimizers: dict[int, OptimizerCounter] = {}
        """By the identity of the torch optimizer."""
        self.inspected_from = 0
        """The run's optimizer step from which on the steps of at least one of them are inspected."""
        self._registered: list[RegisteredOptimizer] = []
        self._handles: list[Any] = []
        self._module: Any = None
        self._rollout_env_steps: int | None = None
        self._continued = ContinuedCount()

    def watch(self, module: Any, optimizers: Iterable[Any]) -> None:
        """Count the steps of these optimizers, and read ``env_steps`` from the module if it has them."""
        self.unwatch()
        self._module = module
        steps = getattr(module, "env_steps", None)
        self._continued.start(None if steps is None else int(steps))  # a tensor's number: it may be added to in place
        for optimizer in optimizers:
            self.add(optimizer)

    def add(self, optimizer: Any, *, steps: int | None = None) -> None:
        """Count the steps of one more optimizer; anything but a torch optimizer is passed over.

        Args:
            optimizer: a torch optimizer, wrapped or not.
            steps: of one that is not registered yet, so far; left out, the run's.
        """
        inner = getattr(optimizer, "optimizer", optimizer)  # Lightning and Fabric wrap them
        if not isinstance(inner, Optimizer) or id(inner) in self.optimizers:
            return
        index, registered = self._register(inner, steps=steps)
        counter = self.optimizers[id(inner)] = OptimizerCounter(index, inner, registered)
        self.learning_rates |= registered.rates
        self.inspected_from = 0
        self._handles.append(inner.register_step_post_hook(self._post_hook(counter)))

    def of(self, optimizer: Any) -> OptimizerCounter | None:
        """The counter of an optimizer, wrapped or not."""
        return self.optimizers.get(id(getattr(optimizer, "optimizer", optimizer)))

    def steps_with(self, counter: OptimizerCounter) -> int:
        """The run's optimizer steps once this optimizer has taken its next step."""
        return max(self.optimizer_steps, counter.steps + 1)

    def may_inspect(self) -> bool:
        """Whether an optimizer's next step may have to be inspected: one comparison for all of them, at every step."""
        return self.optimizer_steps + 1 >= self.inspected_from

    def unwatch(self) -> None:
        """Release the module and the optimizers; the counts stay."""
        self._module, self.learning_rates = None, {}  # another fit may begin with other rates
        self._registered = self._as_they_are()
        self._release()

    def see_rollout(self, rollout: Any) -> None:
        """Take the total from a rollout, for a module without ``env_steps``."""
        if rollout.env_steps and getattr(self._module, "env_steps", None) is None:
            self._rollout_env_steps = self._continued.of(rollout.env_steps)

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far, or ``None`` for a run without an environment."""
        steps = getattr(self._module, "env_steps", None)
        return self._rollout_env_steps if steps is None else self._continued.of(int(steps))

    def axes(self) -> Axes:
        """This point of the run."""
        return Axes(self.env_steps, self.optimizer_steps, now())

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        registered = self._as_they_are()
        return {
            "optimizer_steps": self.optimizer_steps,
            "env_steps": self.env_steps,
            "first_env_steps": self._continued.first_rise,
            "each_optimizer": [each.steps for each in registered],
            "parameters": [each.parameter for each in registered],
            "learning_rates": [to_floats(each.rates) for each in registered],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint's counts."""
        self._rollout_env_steps = state["env_steps"]
        self._continued.resume_at(state["env_steps"], first_rise=state.get("first_env_steps"))
        steps = state.get("each_optimizer", [])
        parameters = state.get("parameters", [None] * len(steps))
        rates = state.get("learning_rates", [{}] * len(steps))
        registered = [RegisteredOptimizer(*each) for each in zip(parameters, steps, rates, strict=True)]
        self.continue_at(state["optimizer_steps"] or 0, registered)

    def continue_at(self, optimizer_steps: int, registered: Iterable[RegisteredOptimizer] = ()) -> None:
        """Continue at this count of optimizer steps.

        Args:
            optimizer_steps: of the run.
            registered: the optimizers of the run by their index; others begin at the run's steps.
        """
        optimizers = [counter.optimizer for counter in self.optimizers.values()]
        self._release()
        self.optimizer_steps, self._registered = optimizer_steps, list(registered)
        for optimizer in optimizers:
            self.add(optimizer)

    def _register(self, optimizer: Optimizer, *, steps: int | None) -> tuple[int, RegisteredOptimizer]:
        """Find an optimizer among the run's, or add it; returns its index, and its parameter and steps."""
        parameter = first_parameter(optimizer, self._module)
        taken = {counter.index for counter in self.optimizers.values()}
        index = registered_index(self._registered, parameter, self._module, taken=taken)
        if index == len(self._registered):
            self._registered.append(RegisteredOptimizer(parameter, self.optimizer_steps if steps is None else steps))
        return index, self._registered[index]._replace(parameter=parameter)

    def _as_they_are(self) -> list[RegisteredOptimizer]:
        """The run's optimizers by their index, as they are now; those that were not found again, too."""
        present = {
            each.index: RegisteredOptimizer(each.parameter, each.steps, rates_of(each.index, self.learning_rates))
            for each in self.optimizers.values()
        }
        return [present.get(at, each) for at, each in enumerate(self._registered)]

    def _release(self) -> None:
        """Stop counting."""
        self.optimizers, self.learning_rates = {}, {}
        while self._handles:
            self._handles.pop().remove()

    def _post_hook(self, counter: OptimizerCounter) -> Callable[..., None]:
        name = rate_name(counter.index)

        def count(optimizer: Optimizer, *_: object) -> None:
            steps, total = counter.steps + 1, self.optimizer_steps
            if steps > total:
                total = self.optimizer_steps = steps
            before, counter.steps, counter.last_step = counter.last_step, steps, total
            unknown = 1 if len(self.optimizers) == 1 else _UNKNOWN_GAP  # several need not step equally often
            between = unknown if before is None else total - before
            counter.expected_gap = 2 * between if between > 1 else 1
            try:
                groups = optimizer.param_groups
                rate = groups[0]["lr"] if len(groups) == 1 and "lr" in groups[0] else None
                if type(rate) is float:  # as nearly always: this runs at every step
                    self.learning_rates[name] = rate
                else:
                    self.learning_rates |= rates_in(groups, index=counter.index)
                if counter.after_step is not None:
                    after, counter.after_step = counter.after_step, None
                    after()
            except Exception as error:
                if not self._handle(error):
                    raise

        return count
