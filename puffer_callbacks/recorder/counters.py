"""The counters of a run: environment steps and optimizer steps."""

from collections.abc import Iterable, Mapping
from time import time
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from puffer_callbacks.axes import Axes
from puffer_callbacks.values.scalars import Scalar


class Counters:
    """Counts what the axes show.

    Optimizer steps are counted at the optimizers themselves, so manual optimization and bare loops count too.
    With several optimizers the count is that of the busiest one: ``Trainer.global_step`` adds them all up.

    Example:
        >>> import torch
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer, counters = torch.optim.SGD([weight], lr=0.1), Counters()
        >>> counters.watch(None, [optimizer])
        >>> optimizer.step(); counters.axes().optimizer_steps
        1
    """

    def __init__(self) -> None:
        self.optimizer_steps = 0
        """Updates so far."""
        self._base = 0
        self._counts: dict[int, int] = {}
        self.learning_rates: Mapping[int, Scalar] = {}
        """Of each optimizer, by its place, at its last step: a scheduler may have moved on since. Another object
        where one has changed."""
        self._handles: list[Any] = []
        self._module: Any = None
        self._rollout_env_steps: int | None = None

    def watch(self, module: Any, optimizers: Iterable[Any]) -> None:
        """Count the steps of these optimizers, and read ``env_steps`` from the module if it has them."""
        self.unwatch()
        self._module = module
        for optimizer in optimizers:
            self.add(optimizer)

    def add(self, optimizer: Any) -> None:
        """Count the steps of one more optimizer."""
        at = len(self._counts)
        self._counts[at] = 0
        inner = getattr(optimizer, "optimizer", optimizer)  # Lightning and Fabric wrap them
        if isinstance(inner, Optimizer):
            self._handles.append(inner.register_step_post_hook(self._counter(at)))

    def unwatch(self) -> None:
        """Let go of the module and the optimizers; the counts stay."""
        self._base = self.optimizer_steps
        self._counts, self.learning_rates = {}, {}
        self._module = None
        while self._handles:
            self._handles.pop().remove()

    def see_rollout(self, rollout: Any) -> None:
        """Take the total from a rollout, for a module without ``env_steps``."""
        if rollout.env_steps > 0:
            self._rollout_env_steps = rollout.env_steps

    @property
    def env_steps(self) -> int | None:
        """Environment steps so far, or ``None`` for a run without an environment."""
        steps = getattr(self._module, "env_steps", None)
        return self._rollout_env_steps if steps is None else int(steps)

    def axes(self) -> Axes:
        """This point of the run."""
        return Axes(self.env_steps, self.optimizer_steps, time())

    def state_dict(self) -> dict[str, int | None]:
        """What a checkpoint keeps."""
        return {"optimizer_steps": self.optimizer_steps, "env_steps": self.env_steps}

    def load_state_dict(self, state: dict[str, int | None]) -> None:
        """Continue from a checkpoint's counts."""
        self.optimizer_steps = state["optimizer_steps"] or 0
        self._base = self.optimizer_steps - max(self._counts.values(), default=0)
        self._rollout_env_steps = state["env_steps"]

    def _counter(self, at: int) -> Any:
        counts, known = self._counts, None

        def count(optimizer: Optimizer, *_: object) -> None:
            nonlocal known
            counts[at] += 1
            self.optimizer_steps = max(self.optimizer_steps, counts[at] + self._base)
            rate = optimizer.param_groups[0].get("lr")
            if rate is not known:  # nearly always it is the same object; a tensor may be another number each time
                known = None if isinstance(rate, Tensor) else rate
                self._see_rate(at, rate)

        return count

    def _see_rate(self, at: int, rate: Any) -> None:
        if isinstance(rate, Tensor):  # which may be on a device, where to compare would be to wait
            self.learning_rates = {**self.learning_rates, at: rate.detach().clone()}
        elif rate is not None and rate != self.learning_rates.get(at):
            self.learning_rates = {**self.learning_rates, at: float(rate)}
